//! Runs inside the command of another one.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test whose preparation fails has failed")]

mod support;

use rustix::process::{Signal, kill_process};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;
use support::{DEAF, LOOK, Place, Running, StoppedGuard, child_of, ended, guard_of, status, until};

/// A run that is no child of the outer one, which has said this name.
fn beside(place: &Place, name: &str, arguments: &[&str]) -> Running {
    Running::start(place.locks(arguments).env("LOCKS_RUN", name))
}

/// Where runs ask the one that has said this name.
fn door(name: &str) -> UnixStream {
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap()
}

/// The next line that comes through there; the empty one if it is closed.
fn answer(door: &UnixStream) -> String {
    let mut line = String::new();
    let _ = BufReader::new(door).read_line(&mut line);
    line
}

#[test]
fn a_run_inside_the_command_joins() {
    let place = Place::new();
    let script = "$L run -n /a -- echo $LOCKS_FENCE; $L run -n /b -- $L run -n /a -- sh -c 'echo $LOCKS_FENCE'";
    let output = place.output(&["run", "/a", "--", "sh", "-c", script]);
    let said = String::from_utf8(output.stdout).unwrap();
    let fences: Vec<_> = said.lines().collect();
    assert!(fences.len() == 2 && fences[0] == fences[1], "{said} {}", String::from_utf8_lossy(&output.stderr));
    // The outer one waits for one that it has let in.
    let script = "$L run /a -- sh -c 'echo in > $D/in; while [ ! -e $D/go ]; do sleep 0.01; done; echo done > $D/done' & \
        while [ ! -e $D/in ]; do sleep 0.01; done; echo up; exit 0";
    let mut outer = place.start(&["run", "/a", "--", "sh", "-c", script]);
    assert_eq!(outer.line(), "up");
    assert_eq!(place.code(&["run", "-w", "50ms", "/a", "--", "true"]), 75);
    std::fs::write(place.path("go"), "").unwrap();
    assert_eq!(outer.code(), 0);
    assert!(place.path("done").exists());
}

#[test]
fn stale_or_invented_variables_let_nobody_in() {
    let place = Place::new();
    let mut first = place.start(&["run", "/a", "--", "sh", "-c", "echo $LOCKS_RUN; echo $LOCKS_FENCE; read line"]);
    let (name, fence) = (first.line(), first.line());
    let claiming = |name: &str, key: &str| {
        let mut run = place.locks(&["run", "-n", key, "--", "true"]);
        ended(run.env("LOCKS_RUN", name).env("LOCKS_KEY", key).env("LOCKS_FENCE", &fence)).status.code()
    };
    assert_eq!(claiming("locks-0000", "/a"), Some(75), "invented");
    let mut other = place.start(&["run", "/b", "--", "sh", "-c", "echo up; read line"]);
    other.line();
    assert_eq!(claiming(&name, "/b"), Some(75), "it holds another");
    first.say("end");
    assert_eq!(first.code(), 0);
    let mut second = place.start(&["run", "/a", "--", "sh", "-c", "echo up; read line"]);
    second.line();
    assert_eq!(claiming(&name, "/a"), Some(75), "stale");
}

#[test]
fn a_reader_inside_a_writer_hinders_no_writer_inside() {
    let place = Place::new();
    let script = "$L run -n -s /a -- $L run -n /a -- echo inside; $L run -n -s /b -- $L run -n /b -- true; echo $?";
    let output = place.output(&["run", "/a", "--", "sh", "-c", script]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "inside\n75\n", "{said}");
    assert!(said.contains("deadlock") && said.lines().count() == 1, "{said}");
}

#[test]
fn the_outer_run_waits_for_the_guard_of_one_that_is_killed() {
    let place = Place::new();
    let script = "$L run /a -- sh -c \"$DEAF\" & echo $! > $D/inner; while [ ! -e $D/first ]; do sleep 0.01; done; echo up; read line";
    let mut outer = Running::start(place.locks(&["run", "/a", "--", "sh", "-c", script]).env("DEAF", DEAF));
    assert_eq!(outer.line(), "up");
    let inner = place.pid("inner");
    let guard = StoppedGuard::stop(child_of(inner));
    let mut next = place.start(&["run", "/a", "--", "sh", "-c", LOOK]);
    place.until_waiting("/a", 1);
    kill_process(inner, Signal::KILL).unwrap();
    outer.say("end");
    // Time enough for a release.
    assert_eq!(place.code(&["run", "-w", "1", "/a", "--", "true"]), 75);
    drop(guard);
    assert_eq!(next.line(), "looked", "something of the inner command was alive when the next one began");
    assert_eq!((next.code(), outer.code()), (0, 0));
}

#[test]
fn one_beside_the_command_is_told_of_a_limit_and_waited_for() {
    let place = Place::new();
    let mut outer =
        place.start(&["run", "--at-most", "10", "/a", "--", "sh", "-c", "echo $LOCKS_RUN; exec sleep 1000"]);
    let name = outer.line();
    let mut inner = beside(&place, &name, &["run", "-t", "4", "/a", "--", "sh", "-c", DEAF]);
    assert_eq!(inner.line(), "up");
    let mut next = place.start(&["run", "/a", "--", "sh", "-c", LOOK]);
    place.until_waiting("/a", 1);
    assert_eq!(next.line(), "looked", "something of the inner command was alive when the next one began");
    assert_eq!((next.code(), inner.end().0, outer.end().0), (0, Some(79), Some(124)));
}

#[test]
fn one_inside_is_told_of_a_loss_that_the_outer_command_outlives() {
    let place = Place::new();
    let script = "$L run /a -- sh -c 'echo up; exec sleep 1000'; echo inner $?; read line; exit 4";
    let mut outer = place.start(&["run", "--on-lost", "continue", "/a", "--", "sh", "-c", script]);
    assert_eq!(outer.line(), "up");
    place.lose("/a");
    assert_eq!(outer.line(), "inner 79");
    outer.say("end");
    assert_eq!(outer.code(), 4);
}

#[test]
fn an_outer_run_that_is_stopped_is_waited_for() {
    let place = Place::new();
    let mut outer = place.start(&[
        "run",
        "-t",
        "600",
        "/a",
        "--",
        "sh",
        "-c",
        "echo $LOCKS_RUN; read line; $L run /a -- echo inside",
    ]);
    let name = outer.line();
    outer.signal(Signal::STOP);
    until("the outer one is stopped", || status(outer.pid()).contains("State:\tT"));
    let waiting = beside(&place, &name, &["run", "/a", "--", "true"]);
    outer.say("go");
    // Longer than it was waited for.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(place.line("/a")["waiters"], serde_json::json!([]), "they would wait for their own lock");
    let mut stopped = beside(&place, &name, &["run", "/a", "--", "true"]);
    until("it listens to signals", || {
        let status = status(stopped.pid());
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
        u64::from_str_radix(caught, 16).unwrap() & (1 << (Signal::TERM.as_raw() - 1)) != 0
    });
    stopped.signal(Signal::TERM);
    assert_eq!(stopped.code(), 143);
    let in_no_time = ended(place.locks(&["run", "-n", "/a", "--", "true"]).env("LOCKS_RUN", &name));
    assert_eq!(in_no_time.status.code(), Some(75), "{in_no_time:?}");
    outer.signal(Signal::CONT);
    assert_eq!(outer.line(), "inside");
    let (mut outer, mut waiting) = (outer, waiting);
    assert_eq!((outer.code(), waiting.code()), (0, 0));
}

#[test]
fn a_request_that_cannot_be_read_is_answered() {
    let place = Place::new();
    let mut outer = place.start(&["run", "/a", "--", "sh", "-c", "echo $LOCKS_RUN; read line"]);
    let name = outer.line();
    let too_long = format!("{}\n", "x".repeat(1 << 20));
    for wrong in ["\n", "null\n", "{\"url\":1}\n", &too_long] {
        let mut connection = door(&name);
        connection.write_all(wrong.as_bytes()).unwrap();
        assert_eq!(answer(&connection), "\"Not\"\n", "{} bytes", wrong.len());
    }
    outer.say("end");
    assert_eq!(outer.code(), 0);
}

#[test]
fn an_outer_run_whose_command_has_ended_answers_while_it_waits() {
    let place = Place::new();
    let wanted = serde_json::json!({ "url": place.url(), "keys": ["/a"], "is_shared": false });
    // One that asks when the command ends, and is let in after that; the outer one waits half a second for what it asks.
    let (mut outer, name, member) = (0..)
        .find_map(|_| {
            let mut outer = place.start(&["run", "/a", "--", "sh", "-c", "echo $LOCKS_RUN; read line"]);
            let name = outer.line();
            let descriptors =
                || std::fs::read_dir(format!("/proc/{}/fd", outer.pid().as_raw_nonzero())).unwrap().count();
            let guard = guard_of(&outer);
            let before = descriptors();
            let mut member = door(&name);
            until("the outer one listens to it", || descriptors() > before);
            outer.say("end");
            let has_ended = |status: String| status.is_empty() || status.contains("State:\tZ");
            until("the guard has ended", || has_ended(status(guard)));
            let _ = writeln!(member, "{wanted}");
            answer(&member).starts_with("{\"Joined\"").then_some((outer, name, member))
        })
        .unwrap();
    let mut inside = beside(&place, &name, &["run", "/a", "--", "echo", "inside"]);
    assert_eq!(inside.line(), "inside");
    assert!(inside.code() == 0 && !outer.has_ended());
    drop(member);
    assert_eq!(outer.code(), 0);
}
