//! Runs inside the command of another one.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test whose preparation fails has failed")]

mod support;

use support::{Place, ended};

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
