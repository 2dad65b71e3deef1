//! `locks run` with real processes: exit codes, signals, deaths, and what is left behind.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test whose preparation fails has failed")]

mod support;

use rustix::process::{Signal, kill_process};
use std::process::Stdio;
use support::{DEAF, LOOK, Place, Running, StoppedGuard, ended, guard_of, lasting, status, until};

#[test]
fn the_exit_code_is_the_commands_own() {
    let place = Place::new();
    assert_eq!(place.code(&["run", "/a", "--", "true"]), 0);
    assert_eq!(place.code(&["run", "/a", "--", "sh", "-c", "exit 7"]), 7);
    assert_eq!(place.code(&["run", "/a", "--", "sh", "-c", "kill -9 $$"]), 137);
    assert_eq!(place.code(&["run", "/a", "--", "sh", "-c", "kill -TERM $$"]), 143);
    assert_eq!(place.code(&["run", "/a", "--", "no-such-command"]), 127);
    assert_eq!(place.code(&["run", "/a", "--", "/tmp"]), 126);
    let quiet = place.output(&["run", "/a", "--", "true"]);
    assert!(quiet.stderr.is_empty() && quiet.stdout.is_empty(), "{quiet:?}");
}

#[test]
fn wrong_use_is_64_and_says_why() {
    let place = Place::new();
    for wrong in [
        &["run"][..],
        &["run", "/a"],
        &["run", "", "--", "true"],
        &["run", "-s", "--permits", "2", "/a", "--", "true"],
        &["run", "-x", "-E", "3", "/a", "--", "true"],
        &["run", "-n", "-w", "1", "/a", "--", "true"],
        &["run", "-t", "soon", "/a", "--", "true"],
        &["run", "--permits", "0", "/a", "--", "true"],
        &["run", "--at-least", "5", "--at-most", "3", "/a", "--", "true"],
        &["-u", "memory:", "run", "/a", "--", "true"],
        &["-u", "nowhere://x", "run", "/a", "--", "true"],
        &["-u", "@/no/such/file", "ls"],
        &["wacth"],
        &["break", "--fence", "x", "/a"],
    ] {
        let output = place.output(wrong);
        assert_eq!(output.status.code(), Some(64), "{wrong:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "{wrong:?} says nothing");
    }
    let without_url = ended(place.locks(&["ls"]).env_remove("LOCKS_URL"));
    assert_eq!(without_url.status.code(), Some(64));
    let typo = place.output(&["wacth"]);
    assert!(String::from_utf8_lossy(&typo.stderr).contains("'watch'"), "{typo:?}");
}

#[test]
fn the_url_may_stand_in_a_file() {
    let place = Place::new();
    std::fs::write(place.path("url"), format!("{}\n", place.url())).unwrap();
    let at = format!("@{}", place.path("url").display());
    let output =
        ended(place.locks(&["run", "-u", &at, "/a", "--", "sh", "-c", "echo $LOCKS_URL"]).env_remove("LOCKS_URL"));
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), place.url());
}

#[test]
fn who_has_to_wait_and_does_not_want_to_is_told_who_holds_it() {
    let place = Place::new();
    let mut first = place.start(&["run", "--name", "nightly", "/a", "--", "sh", "-c", &lasting("first")]);
    assert_eq!(first.line(), "up");
    let busy = place.output(&["run", "-n", "/a", "--", "true"]);
    assert_eq!(busy.status.code(), Some(75));
    let said = String::from_utf8(busy.stderr).unwrap();
    let pid = first.pid().as_raw_nonzero();
    assert!(
        said.starts_with("locks: busy: held by nightly@") && said.contains(&format!(":{pid} (locks) for ")),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    let late = place.output(&["run", "-w", "20ms", "/a", "--", "true"]);
    assert_eq!(late.status.code(), Some(75));
    assert!(String::from_utf8_lossy(&late.stderr).contains("gave up after 20ms: held by nightly@"), "{late:?}");
    assert_eq!(place.code(&["run", "-n", "-E", "9", "/a", "--", "true"]), 9);
    let cron = place.output(&["run", "-n", "-x", "/a", "--", "true"]);
    assert!(cron.status.success() && cron.stderr.is_empty(), "{cron:?}");
    let json = place.output(&["run", "-n", "--json", "/a", "--", "true"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stderr).unwrap();
    assert_eq!((&json["event"], &json["holder"]["name"]), (&"busy".into(), &"nightly".into()));
    assert_eq!(json["keys"], serde_json::json!(["/a"]));
    first.signal(Signal::TERM);
    assert_eq!(first.code(), 143);
    assert_eq!(place.code(&["run", "-n", "/a", "--", "true"]), 0);
}

#[test]
fn the_command_has_stdin_and_knows_what_it_holds() {
    let place = Place::new();
    let mut cat = place.start(&[
        "run",
        "/a",
        "-t",
        "20",
        "--",
        "sh",
        "-c",
        "read line; echo $line $LOCKS_KEY $LOCKS_TTL $LOCKS_FENCE",
    ]);
    cat.say("hello");
    let line = cat.line();
    let fence = line.strip_prefix("hello /a 20 ").unwrap_or_else(|| panic!("{line:?}"));
    assert!(fence.parse::<u64>().is_ok_and(|fence| fence > 0), "{line:?}");
    assert_eq!(cat.code(), 0);
}

#[test]
fn a_signal_while_waiting_leaves_the_line() {
    let place = Place::new();
    let mut first = place.start(&["run", "/a", "--", "sh", "-c", &lasting("first")]);
    first.line();
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129), (Signal::QUIT, 131)] {
        let mut waiting = place.start(&["run", "/a", "--", "true"]);
        place.until_waiting("/a", 1);
        for harmless in [Signal::WINCH, Signal::CONT] {
            waiting.signal(harmless);
        }
        waiting.signal(signal);
        assert_eq!(waiting.code(), code);
        assert_eq!(place.line("/a")["waiters"], serde_json::json!([]));
    }
}

#[test]
fn a_signal_while_running_goes_to_the_command() {
    let place = Place::new();
    for (name, signal) in
        [("TERM", Signal::TERM), ("HUP", Signal::HUP), ("USR1", Signal::USR1), ("WINCH", Signal::WINCH)]
    {
        let script = format!("trap 'echo got; exit 3' {name}; echo up; while :; do sleep 0.01; done");
        let mut run = place.start(&["run", "/a", "--", "sh", "-c", &script]);
        assert_eq!(run.line(), "up");
        run.signal(signal);
        assert_eq!(run.line(), "got", "{name}");
        assert_eq!(run.code(), 3, "{name}");
    }
    let mut last =
        place.start(&["run", "--grace", "1ms", "/a", "--", "sh", "-c", "trap '' TERM; echo up; read line; exit 5"]);
    last.line();
    last.signal(Signal::TERM);
    last.say("a TERM that is passed on is not followed by a KILL");
    assert_eq!(last.code(), 5);
}

#[test]
fn a_signal_in_the_instant_of_the_grant_is_not_lost() {
    let place = Place::new();
    for _ in 0..20 {
        let mut hold = place.start(&["hold", "/a"]);
        hold.line();
        let mut run = place.start(&["run", "/a", "--", "sleep", "1000"]);
        place.until_waiting("/a", 1);
        hold.signal(Signal::TERM);
        run.signal(Signal::TERM);
        assert_eq!((hold.code(), run.code()), (0, 143));
    }
}

#[test]
fn what_nohup_ignores_stays_ignored() {
    let place = Place::new();
    let script = "trap '' HUP; exec $L run /a -- sh -c 'kill -HUP $$; kill -HUP $PPID; echo alive'";
    let output = ended(place.locks(&[]).arg0_sh(script));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "alive", "{output:?}");
    // But for those two.
    let script = "trap '' HUP PIPE CHLD; exec $L run /a -- grep SigIgn /proc/self/status";
    let output = ended(place.locks(&[]).arg0_sh(script));
    let ignored = String::from_utf8(output.stdout).unwrap();
    let ignored = u64::from_str_radix(ignored.trim_start_matches("SigIgn:").trim(), 16).unwrap();
    let is_ignored = |signal: Signal| ignored & (1 << (signal.as_raw() - 1)) != 0;
    assert_eq!([Signal::HUP, Signal::PIPE, Signal::CHILD].map(is_ignored), [true, false, false], "{ignored:x}");
}

trait Shell {
    fn arg0_sh(&mut self, script: &str) -> &mut std::process::Command;
}

impl Shell for std::process::Command {
    /// The same environment, for a shell.
    fn arg0_sh(&mut self, script: &str) -> &mut std::process::Command {
        let mut shell = std::process::Command::new("sh");
        for (name, value) in self.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell.args(["-c", script]);
        *self = shell;
        self
    }
}

/// Starts a run, lets `break_it` do something to it, and checks that nothing of its command was alive when the next one began.
fn nothing_is_left_for_the_next(ttl: &str, break_it: impl Fn(&Place, &mut Running)) {
    let place = Place::new();
    let mut first = place.start(&["run", "/a", "-t", ttl, "--", "sh", "-c", DEAF]);
    assert_eq!(first.line(), "up");
    let pids = [place.pid("first"), place.pid("second")];
    let mut next = place.start(&["run", "/a", "--", "sh", "-c", LOOK]);
    place.until_waiting("/a", 1);
    break_it(&place, &mut first);
    assert_eq!(next.line(), "looked", "something of the command was alive when the next one began");
    assert!(pids.iter().all(|pid| !place.is_alive(*pid)));
    assert_eq!(next.code(), 0);
}

#[test]
fn the_command_dies_with_a_program_that_is_killed() {
    for _ in 0..10 {
        nothing_is_left_for_the_next("10", |_, first| first.signal(Signal::KILL));
    }
}

#[test]
fn a_file_stays_locked_until_the_command_of_a_killed_program_is_dead() {
    nothing_is_left_for_the_next("10", |place, first| {
        // As if it got no processor. The kernel continues a stopped group whose parent has gone: this process is its parent then.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
        let guard = StoppedGuard::of(first);
        first.signal(Signal::KILL);
        // Its stderr is not read: the command has it, too.
        until("the program is dead", || first.has_ended());
        let command = place.pid("first");
        until("the command is there", || place.is_alive(command));
        assert_eq!(place.code(&["run", "-n", "/a", "--", "true"]), 75);
        drop(guard);
    });
}

#[test]
fn the_command_dies_with_a_program_that_is_stopped_past_the_deadline() {
    nothing_is_left_for_the_next("1", |place, first| {
        first.signal(Signal::STOP);
        let (one, two) = (place.pid("first"), place.pid("second"));
        until("the command is killed", || !place.is_alive(one) && !place.is_alive(two));
        first.signal(Signal::CONT);
        assert_eq!(first.end().0, Some(79));
    });
}

#[test]
fn the_command_dies_with_a_guard_that_is_killed() {
    nothing_is_left_for_the_next("10", |_, first| {
        kill_process(guard_of(first), Signal::KILL).unwrap();
        let (code, said) = first.end();
        assert!(code == Some(137) && said.contains("guard process was killed"), "{code:?} {said}");
    });
}

#[test]
fn the_command_of_a_stopped_guard_dies_with_the_lock() {
    nothing_is_left_for_the_next("4", |place, first| {
        let _guard = StoppedGuard::of(first);
        place.lose("/a");
        let (code, said) = first.end();
        assert!(code == Some(79) && said.lines().count() == 1, "{code:?} {said}");
    });
}

#[test]
fn a_stopped_guard_that_reads_nothing_does_not_stop_the_program() {
    let place = Place::new();
    let mut run = place.start(&["run", "-t", "4", "/a", "--", "sh", "-c", DEAF]);
    assert_eq!(run.line(), "up");
    let guard = StoppedGuard::of(&run);
    // More than the socket holds.
    for _ in 0..1_000 {
        run.signal(Signal::USR1);
        until("the signal is taken", || status(run.pid()).contains("ShdPnd:\t0000000000000000"));
    }
    place.lose("/a");
    assert_eq!(run.end().0, Some(79));
    assert!(!place.is_alive(guard.0) && !place.is_alive(place.pid("first")) && !place.is_alive(place.pid("second")));
}

#[test]
fn a_guard_that_was_stopped_for_longer_than_the_ttl_goes_on() {
    let place = Place::new();
    let mut run = place.start(&["run", "-t", "4", "/a", "--", "sh", "-c", "echo up; read line; exit 3"]);
    assert_eq!(run.line(), "up");
    let guard = StoppedGuard::of(&run);
    // Past each deadline that it knows.
    std::thread::sleep(std::time::Duration::from_secs(5));
    drop(guard);
    run.say("end");
    assert_eq!(run.end(), (Some(3), String::new()), "the lock was renewed meanwhile");
}

#[test]
fn a_lock_that_is_lost_takes_the_command_with_it() {
    let place = Place::new();
    let mut run = place.start(&["run", "/a", "--", "sh", "-c", DEAF]);
    assert_eq!(run.line(), "up");
    place.lose("/a");
    let (code, said) = run.end();
    assert!(code == Some(79) && said.starts_with("locks: ") && said.lines().count() == 1, "{code:?} {said}");
    assert!(!place.is_alive(place.pid("first")) && !place.is_alive(place.pid("second")));
}

#[test]
fn a_command_may_go_on_without_the_lock() {
    let place = Place::new();
    let mut run = place.start(&["run", "--on-lost", "continue", "/a", "--", "sh", "-c", "echo up; read line; exit 4"]);
    run.line();
    place.lose("/a");
    let said = run.error_line();
    assert!(said.contains("goes on without it"), "{said}");
    assert_eq!(place.code(&["run", "-w", "60", "/a", "--", "true"]), 0);
    run.say("go on");
    assert_eq!(run.code(), 4);
}

#[test]
fn at_most_is_124_and_no_loss() {
    let place = Place::new();
    let (one, deaf) =
        ("trap 'exit 0' TERM; while :; do sleep 0.01; done", "trap '' TERM; while :; do sleep 0.01; done");
    for script in [one, deaf] {
        let output = place.output(&["run", "--at-most", "100ms", "--grace", "200ms", "/a", "--", "sh", "-c", script]);
        assert_eq!(output.status.code(), Some(124), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("--at-most 100ms passed"), "{output:?}");
    }
    assert_eq!(place.code(&["run", "-n", "/a", "--", "true"]), 0);
}

#[test]
fn a_grace_after_a_limit_may_be_longer_than_the_ttl() {
    let place = Place::new();
    let script = "trap 'echo stopping; read line; exit 0' TERM; echo up; while :; do sleep 0.01; done";
    let mut run =
        place.start(&["run", "-t", "1", "--at-most", "100ms", "--grace", "1h", "/a", "--", "sh", "-c", script]);
    assert_eq!((run.line(), run.line()), ("up".to_owned(), "stopping".to_owned()));
    // Past the deadline that was known when the limit passed: the lock is renewed meanwhile.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(place.code(&["run", "-n", "/a", "--", "true"]), 75);
    assert!(!run.has_ended());
    run.say("end");
    let (code, said) = run.end();
    assert!(code == Some(124) && !said.contains("lapse"), "{code:?} {said}");
}

#[test]
fn at_least_outlasts_the_command() {
    let place = Place::new();
    assert_eq!(place.code(&["run", "--at-least", "1h", "/a", "--", "true"]), 0);
    let busy = place.output(&["run", "-n", "/a", "--", "true"]);
    assert_eq!(busy.status.code(), Some(75), "{busy:?}");
}

#[test]
fn what_the_command_leaves_in_its_group_is_ended_before_the_release() {
    let place = Place::new();
    let script = "sleep 1000 & echo $! > $D/left.new; mv $D/left.new $D/left; exit 6";
    assert_eq!(place.code(&["run", "/a", "--", "sh", "-c", script]), 6);
    assert!(!place.is_alive(place.pid("left")));
}

#[test]
fn a_daemon_that_the_command_leaves_does_not_keep_the_lock() {
    let place = Place::new();
    let script = "setsid sh -c 'echo $$ > $D/left.new; mv $D/left.new $D/left; exec sleep 1000' </dev/null >/dev/null 2>&1 & \
        while [ ! -e $D/left ]; do sleep 0.01; done";
    assert_eq!(place.code(&["run", "/a", "--", "sh", "-c", script]), 0);
    let left = place.pid("left");
    until("the daemon is there: it is meant to outlive the command", || place.is_alive(left));
    assert_eq!(place.code(&["run", "-n", "/a", "--", "true"]), 0);
    kill_process(left, Signal::KILL).unwrap();
}

#[test]
fn a_closed_stderr_and_stdout_harm_nobody() {
    let place = Place::new();
    let script = "$L run /a -- true >&- 2>&- <&-; echo $?; $L run -v /a -- true 2>&1 | true; $L ls | true; $L --help | true; echo end";
    let output = ended(place.locks(&[]).arg0_sh(script).stdin(Stdio::null()));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\nend\n", "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panic"), "{output:?}");
}

#[test]
fn descriptors_of_the_lock_are_not_inherited_and_others_are() {
    let place = Place::new();
    let script = "exec 7>$D/mine; exec $L run /a -- sh -c 'ls -l /proc/self/fd'";
    let output = ended(place.locks(&[]).arg0_sh(script).stdin(Stdio::null()));
    let files = String::from_utf8(output.stdout).unwrap();
    assert!(files.contains("/mine"), "{files}");
    assert!(!files.contains(".lock") && !files.contains("socket:"), "{files}");
}

#[test]
fn a_guard_process_that_was_handed_nothing_says_so() {
    let place = Place::new();
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    std::io::Write::write_all(&mut ours, b"\n").unwrap();
    let settings = r#"{"grace":{"secs":1,"nanos":0},"margin":{"secs":0,"nanos":0},"deadline":18446744073709551615,"foreground":false}"#;
    let mut guard = place.locks(&["guard-of-a-run", settings, "true"]);
    let output = ended(guard.stdin(std::os::fd::OwnedFd::from(theirs)));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(71) && said.starts_with("locks: the guard process failed"), "{said}");
}

#[test]
fn a_killed_command_gets_no_term_first() {
    let place = Place::new();
    let script = "trap 'echo told' TERM; echo up; while :; do sleep 0.01; done";
    let mut run = place.start(&["run", "--on-lost", "kill", "/a", "--", "sh", "-c", script]);
    assert_eq!(run.line(), "up");
    place.lose("/a");
    assert_eq!(run.end().0, Some(79));
    assert_eq!(run.line(), "", "there is no grace");
}
