//! The examples on real servers, run as a user runs them.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use libtest_mimic::{Arguments, Trial};
use rustix::process::{Pid, test_kill_process};
use serde_json::Value;
use std::process::ExitCode;
use std::time::Duration;
use support::cases::{self, Case, Program, Store};
use support::child::{Child, example};
use support::etcd::{Etcd, Setup};
use support::eventually;

const SOON: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let mut trials = cases::trials(support::cases![
        crontab_moves_the_job_of_a_killed_worker,
        crontab_follows_what_is_added_and_removed,
    ]);
    trials.extend(cron(|store: &Store| store.etcd().url()));
    trials.extend(cron(|store: &Store<support::redis::Binary>| store.redis().url()));
    trials.extend(cron(|store: &Store<support::zookeeper::Installed>| store.zookeeper().url()));
    trials.extend(cron(|store: &Store<support::postgres::Binary>| store.postgres().url()));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The main example, on every store by its URL alone.
fn cron<P: Program>(url: impl Fn(&Store<P>) -> String + Send + Sync + Copy + 'static) -> Vec<Trial> {
    cases::trials(vec![Case::new("cron_runs_no_tick_twice", move |store| async move {
        cron_runs_no_tick_twice(&url(&store));
    })])
}

fn cron_runs_no_tick_twice(url: &str) {
    let output = example("cron").env("LOCKS_URL", url).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("No tick ran twice"), "{told}");
}

async fn crontab_moves_the_job_of_a_killed_worker(store: Store) {
    let etcd = store.start(&Setup::default());
    // A shell that says who it is, and a child of it: both must end with their worker.
    crontab(&etcd, &["add", "long", "* * * * * *", "sleep 1000 & echo shell $$; echo child $!; wait"]).unwrap();
    let mut workers = vec![worker(&etcd), worker(&etcd)];

    let holder = eventually(SOON, async || holder(&etcd, "long").ok_or("nobody holds it")).await;
    let mut first = workers.remove(usize::from(workers[0].id() != holder));
    let mut second = workers.remove(0);
    assert_eq!(first.id(), holder);
    first.expect_line(&format!("worker {holder} runs long"), SOON);
    let command = [first.expect_line("shell ", SOON), first.expect_line("child ", SOON)];
    assert!(command.iter().all(|pid| is_alive(pid)), "{command:?}");
    assert!(crontab(&etcd, &["list"]).unwrap().contains(&format!("in process {holder} on ")));
    assert!(second.is_silent_about(&format!("worker {} runs", second.id()), Duration::from_secs(2)));

    first.kill();
    eventually(SOON, async || if command.iter().any(|pid| is_alive(pid)) { Err("it runs on") } else { Ok(()) }).await;
    // The TTL of 5 s, what etcd adds, and the next tick.
    second.expect_line(&format!("worker {} runs long", second.id()), Duration::from_secs(15));
}

async fn crontab_follows_what_is_added_and_removed(store: Store) {
    let etcd = store.start(&Setup::default());
    let mut worker = worker(&etcd);
    worker.expect_line("worker ", SOON);
    let refused = crontab(&etcd, &["add", "bad", "61 * * * * *", "true"]).unwrap_err();
    assert!(refused.starts_with("crontab: "), "{refused}");

    crontab(&etcd, &["add", "job", "* * * * * *", "echo shell $$; exit 3"]).unwrap();
    worker.expect_line("shell ", SOON);
    let ended = worker.expect_line(&format!("worker {} ran job: ", worker.id()), SOON);
    assert_eq!(ended, "exit status: 3");

    crontab(&etcd, &["add", "job", "* * * * * *", "echo now $$; exec sleep 1000"]).unwrap();
    let command = worker.expect_line("now ", SOON);
    crontab(&etcd, &["remove", "job"]).unwrap();
    eventually(SOON, async || if is_alive(&command) { Err("it runs on") } else { Ok(()) }).await;
    eventually(SOON, async || holder(&etcd, "job").map_or(Ok(()), Err)).await;
    assert_eq!(crontab(&etcd, &["list"]).unwrap(), "");
}

fn crontab(etcd: &Etcd, arguments: &[&str]) -> Result<String, String> {
    let output = example("crontab").args(arguments).env("LOCKS_URL", etcd.url()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

fn worker(etcd: &Etcd) -> Child {
    Child::start(example("crontab").arg("worker").env("LOCKS_URL", etcd.url()))
}

/// The process that holds a job's lock, as any client of etcd can see it.
fn holder(etcd: &Etcd, job: &str) -> Option<u32> {
    let shown = etcd.ctl(&["get", "--prefix", &format!("/cron/lock/{job}/"), "--print-value-only"]);
    let record: Value = serde_json::from_str(shown.lines().find(|line| !line.is_empty())?).unwrap();
    Some(record["pid"].as_u64().unwrap().try_into().unwrap())
}

/// Whether it runs. Where nobody waits for orphans, as in many a container, one that has ended keeps its number.
fn is_alive(pid: &str) -> bool {
    let is_zombie = std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "));
    !is_zombie && test_kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap()).is_ok()
}
