//! The program `locks` on every store: a cut network, deaths, several keys, other clients. On files it is tested in its own crate.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use libtest_mimic::Trial;
use std::process::{Command, ExitCode, Output};
use std::time::{Duration, Instant};
use support::cases::{self, Case, Fixture, Program};
use support::child::{Child, binary};
use support::proxy::{Mode, Proxy};
use support::{etcd, eventually, kubernetes, postgres, redis, zookeeper};

fn main() -> ExitCode {
    let mut trials = every::<etcd::Binary>();
    trials.extend(every::<redis::Binary>());
    trials.extend(every::<zookeeper::Installed>());
    trials.extend(every::<postgres::Binary>());
    trials.extend(every::<kubernetes::Binary>());
    trials.extend(cases::trials(support::cases![
        locks_run_and_etcdctl_lock_exclude_each_other,
        several_locks_are_held_at_one_moment,
        readers_and_permits_run_beside_each_other,
    ]));
    trials.push(Trial::test("the_tables_statement_is_that_of_the_runtime", || {
        the_tables_statement_is_that_of_the_runtime();
        Ok(())
    }));
    cases::run_trials(trials)
}

/// What the program must do on each store.
fn every<P: Program>() -> Vec<Trial> {
    let cut =
        |fixture: Fixture<P>| async move { a_cut_network_ends_the_command_before_the_next_begins(&fixture).await };
    let killed = |fixture: Fixture<P>| async move { a_killed_program_takes_its_command_with_it(&fixture).await };
    let asked = |fixture: Fixture<P>| async move { what_is_held_is_shown_and_broken(&fixture).await };
    let ended = |fixture: Fixture<P>| async move { a_store_that_goes_away_does_not_keep_the_program(&fixture).await };
    cases::trials(vec![
        Case::new("a_cut_network_ends_the_command_before_the_next_begins", cut),
        Case::new("a_killed_program_takes_its_command_with_it", killed),
        Case::new("what_is_held_is_shown_and_broken", asked),
        Case::new("a_store_that_goes_away_does_not_keep_the_program", ended),
    ])
}

/// It stands in the runtime, in the documentation of `Locks::connect`, and in `doctor`.
fn the_tables_statement_is_that_of_the_runtime() {
    let statement = |text: &str| -> String {
        let begin = text.find("CREATE TABLE IF NOT EXISTS").unwrap();
        let end = begin + text[begin..].find("(fillfactor = 50)").unwrap();
        let plain = text[begin..end].replace("\\n", " ").replace("\\\"", "\"").replace("{}", "distributed_locks");
        plain.split_whitespace().filter(|word| !matches!(*word, "\\" | "///")).collect::<Vec<_>>().join(" ")
    };
    let source = |path: &str| {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        statement(&std::fs::read_to_string(root.join(path)).unwrap())
    };
    let created = source("locks-runtime/src/stores/postgres/table.rs");
    assert!(created.contains("queue jsonb NOT NULL DEFAULT '[]'"), "{created}");
    assert_eq!(source("locks-runtime/src/api/locks.rs"), created);
    let printed = String::from_utf8(output("", &["doctor", "--print-migration"]).stdout).unwrap();
    assert_eq!(statement(&printed), created);
    assert!(printed.starts_with("-- for the default table"), "{printed}");
}

fn locks(url: &str, arguments: &[&str]) -> Command {
    let mut command = binary("locks");
    command.args(arguments).env("LOCKS_URL", url).env_remove("LOCKS_RUN").env("L", binary("locks").get_program());
    command
}

fn output(url: &str, arguments: &[&str]) -> Output {
    locks(url, arguments).output().unwrap()
}

fn code(url: &str, arguments: &[&str]) -> Option<i32> {
    let output = output(url, arguments);
    output.status.code().inspect(|_| eprint(&output))
}

/// For whoever reads why a case has failed.
fn eprint(output: &Output) {
    use std::io::Write as _;
    let _ = std::io::stderr().write_all(&output.stderr);
}

/// Ignores TERM, and has a child in a session of its own that does, too. Prints both numbers.
const DEAF: &str = "trap '' TERM; setsid sleep 1000 & echo pids $$ $!; exec sleep 1000";

/// Prints what of these processes is alive when it begins.
fn look(pids: &str) -> String {
    format!(
        "for p in {pids}; do grep -q '^State:.[^Z]' /proc/$p/status 2>/dev/null && echo alive $p; done; echo looked"
    )
}

/// So many locks at a time: one more command is dead before the next begins.
const CUT: usize = 5;

async fn a_cut_network_ends_the_command_before_the_next_begins<P: Program>(fixture: &Fixture<P>) {
    let server = fixture.server();
    let network = Proxy::to(server.address());
    let cut_off = server.url_at(&network.addr().to_string());
    let keys: Vec<_> = (0..CUT).map(|number| fixture.key(&format!("cut-{number}"))).collect();
    let mut first: Vec<_> = keys
        .iter()
        .map(|key| Child::start(&mut locks(&cut_off, &["run", "-t", "8", key, "--", "sh", "-c", DEAF])))
        .collect();
    let pids: Vec<_> = first.iter_mut().map(|run| run.next_line("pids ")).collect();
    let mut next: Vec<_> = keys
        .iter()
        .zip(&pids)
        .map(|(key, pids)| Child::start(&mut locks(&server.url(), &["run", key, "--", "sh", "-c", &look(pids)])))
        .collect();
    for key in &keys {
        until_waiting(&server.url(), key).await;
    }
    // The program itself sees to the command of a guard process that is stopped.
    stop_guard_of(&first[0]);
    network.set(Mode::Silent);
    for run in &mut next {
        run.next_line("looked");
        assert!(run.wait().success());
    }
    for ((run, pids), key) in first.iter_mut().zip(&pids).zip(&keys) {
        assert_eq!(run.wait().code(), Some(79), "{}", run.stderr());
        assert!(run.whole_stderr().contains("locks: "), "it says why");
        assert!(!pids.split(' ').any(|pid| is_alive(pid, key)), "{pids}");
    }
}

fn stop_guard_of(run: &Child) {
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", run.id())).unwrap();
    let guard = rustix::process::Pid::from_raw(children.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(guard, rustix::process::Signal::STOP).unwrap();
}

async fn a_killed_program_takes_its_command_with_it<P: Program>(fixture: &Fixture<P>) {
    let (url, key) = (fixture.server().url(), fixture.key("killed"));
    let mut first = Child::start(&mut locks(&url, &["run", "-t", "8", &key, "--", "sh", "-c", DEAF]));
    let pids = first.next_line("pids ");
    let mut next = Child::start(&mut locks(&url, &["run", &key, "--", "sh", "-c", &look(&pids)]));
    until_waiting(&url, &key).await;
    // Not its children, as `Child::kill` would.
    let pid = rustix::process::Pid::from_raw(first.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    next.next_line("looked");
    assert!(next.wait().success());
    first.wait();
}

async fn what_is_held_is_shown_and_broken<P: Program>(fixture: &Fixture<P>) {
    let (url, key) = (fixture.server().url(), fixture.key("shown"));
    assert_eq!(code(&url, &["doctor"]), Some(0));
    let mut held = Child::start(&mut locks(
        &url,
        &["run", "--name", "nightly", &key, "--", "sh", "-c", "echo up $LOCKS_FENCE; exec sleep 1000"],
    ));
    held.next_line("up ");
    let line: serde_json::Value = serde_json::from_slice(&output(&url, &["show", "--json", &key]).stdout).unwrap();
    assert_eq!(line["holders"][0]["name"], "nightly", "{line}");
    let listed = output(&url, &["ls", &key]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("nightly@"), "{listed:?}");
    assert_eq!(code(&url, &["run", "-n", &key, "--", "true"]), Some(75));
    assert_eq!(code(&url, &["break", "--yes", "--fence", "1", &key]), Some(75), "that holder has gone");
    // A store that shows no fences releases whoever holds it.
    let fence = line["holders"][0]["fence"].as_str();
    let broken = fence.map_or(vec!["break", "--yes", &key], |fence| vec!["break", "--yes", "--fence", fence, &key]);
    assert_eq!(code(&url, &broken), Some(0));
    assert_eq!(held.wait().code(), Some(79), "{}", held.stderr());
    assert_eq!(code(&url, &["run", "-n", &key, "--", "true"]), Some(0));
    assert_eq!(code(&url, &["wait", &key]), Some(0));
}

async fn a_store_that_goes_away_does_not_keep_the_program<P: Program>(fixture: &Fixture<P>) {
    let server = fixture.server();
    let network = Proxy::to(server.address());
    let url = server.url_at(&network.addr().to_string());
    // After what it says about the release it does not wait once more; this process may be what was late.
    let mut tries = 0..5;
    let is_prompt = tries.any(|number| {
        network.set(Mode::Pass);
        let key = fixture.key(&format!("gone-{number}"));
        let (for_release, for_end) = release_from(&network, &url, &key);
        for_end < for_release / 2
    });
    assert!(is_prompt, "it waits for the store");
    let key = fixture.key("away");
    let away = output(&url, &["run", "-w", "1", &key, "--", "true"]);
    let (said, address) = (String::from_utf8(away.stderr).unwrap(), network.addr().to_string());
    assert!(away.status.code() == Some(69) && said.contains(&key) && said.contains(&address), "{said}");
}

/// How long it takes until a program whose command has ended says that the store does not answer, and how long then until it ends.
#[expect(clippy::disallowed_methods, reason = "times of tests, on the clock of tests")]
fn release_from(network: &Proxy, url: &str, key: &str) -> (Duration, Duration) {
    let mut run =
        Child::start(&mut locks(url, &["run", "-t", "60", key, "--", "sh", "-c", "echo up; read line; exit 3"]));
    run.next_line("up");
    network.set(Mode::Silent);
    let began = Instant::now();
    run.say("end");
    while !run.stderr().contains("has not acknowledged the release") && !run.has_ended() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let for_release = began.elapsed();
    assert_eq!(run.wait().code(), Some(3), "{}", run.stderr());
    (for_release, began.elapsed().saturating_sub(for_release))
}

async fn locks_run_and_etcdctl_lock_exclude_each_other(fixture: Fixture) {
    let (etcd, key) = (fixture.server(), fixture.key("shared"));
    let mut ours =
        Child::start(&mut locks(&etcd.url(), &["run", &key, "--", "sh", "-c", "echo up; read line; echo over"]));
    ours.next_line("up");
    let mut theirs = Child::start(&mut etcd.ctl_command(&["lock", "--", &key, "sh", "-c", "echo theirs; read line"]));
    until_waiting(&etcd.url(), &key).await;
    assert!(theirs.try_line().is_none());
    ours.say("end");
    ours.next_line("over");
    theirs.next_line("theirs");
    assert!(ours.wait().success());
    theirs.kill();
}

async fn several_locks_are_held_at_one_moment(fixture: Fixture) {
    let (url, one, two) = (fixture.server().url(), fixture.key("one"), fixture.key("two"));
    let mut both = Child::start(&mut locks(
        &url,
        &["run", "-k", &two, &one, "--", "sh", "-c", "echo keys $LOCKS_KEYS; read line"],
    ));
    let keys: serde_json::Value = serde_json::from_str(&both.next_line("keys ")).unwrap();
    assert!(keys[&one].is_string() && keys[&two].is_string(), "{keys}");
    for key in [&one, &two] {
        assert_eq!(code(&url, &["run", "-n", key, "--", "true"]), Some(75));
    }
    both.kill();
    for key in [&one, &two] {
        assert_eq!(code(&url, &["run", key, "--", "true"]), Some(0));
    }
}

async fn readers_and_permits_run_beside_each_other(fixture: Fixture) {
    let (url, key) = (fixture.server().url(), fixture.key("modes"));
    let mut reader = Child::start(&mut locks(
        &url,
        &["run", "-s", &key, "--", "sh", "-c", "echo up; read line; $L run -n $LOCKS_KEY -- true; echo code $?"],
    ));
    reader.next_line("up");
    assert_eq!(code(&url, &["run", "-n", "-s", &key, "--", "true"]), Some(0));
    assert_eq!(code(&url, &["run", "-n", &key, "--", "true"]), Some(75));
    reader.say("a writer inside a reader");
    assert_eq!(reader.next_line("code "), "75", "it would wait for itself");
    assert!(reader.wait().success());
    let permit = || locks(&url, &["run", "--permits", "2", &key, "--", "sh", "-c", "echo up; read line"]);
    let (mut first, mut second) = (Child::start(&mut permit()), Child::start(&mut permit()));
    first.next_line("up");
    second.next_line("up");
    assert_eq!(code(&url, &["run", "-n", "--permits", "2", &key, "--", "true"]), Some(75));
    let listed = output(&url, &["ls", &key]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("2/2"), "{listed:?}");
    first.say("end");
    assert!(first.wait().success());
}

async fn until_waiting(url: &str, key: &str) {
    eventually(async || {
        let output = output(url, &["show", "--json", key]);
        let line: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        match line["waiters"].as_array().map(Vec::len) {
            Some(1..) => Ok(()),
            _ => Err(line.to_string()),
        }
    })
    .await;
}

/// Whether a process of the command for `key` has not ended. Its number may be another's by now, and one that has ended has no
/// environment.
fn is_alive(pid: &str, key: &str) -> bool {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable == format!("LOCKS_KEY={key}").as_bytes())
}
