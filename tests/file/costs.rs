//! What a lock on files costs: the system calls on its files, counted by strace.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a case whose preparation fails has failed")]

use std::process::{Command, ExitCode};
use support::cases;
use support::child::binary;

/// Those that are about files.
const CALLS: &str = "openat,flock,pread64,pwrite64,read,ftruncate,statx,newfstatat,fstat,unlink,rmdir,mkdir,getdents64";

fn main() -> ExitCode {
    let tests: [(&str, fn()); 3] = [
        ("a_lock_that_is_used_again_takes_seven_system_calls", a_lock_that_is_used_again_takes_seven_system_calls),
        ("a_reader_and_a_permit_take_twenty_five", a_reader_and_a_permit_take_twenty_five),
        ("several_locks_take_as_many_as_each_of_them", several_locks_take_as_many_as_each_of_them),
    ];
    cases::run_trials(tests.into_iter().map(|(name, test)| cases::traced(name, test)).collect())
}

/// How many system calls with one of the directory's files or its path the turns make, after the first ones.
fn calls_of_a_turn(mode: &str, keys: &[&str]) -> usize {
    const TURNS: usize = 40;
    let directory = tempfile::tempdir().unwrap();
    let (trace, locks) = (directory.path().join("trace"), directory.path().join("locks").display().to_string());
    let count = |turns: usize| {
        let mut traced = Command::new("strace");
        traced.args(["-f", "-y", "-qq", "-e", &format!("trace={CALLS}"), "-o"]).arg(&trace);
        traced.arg(binary("worker").get_program());
        traced.args(["turns-as", mode, &turns.to_string(), &format!("file://{locks}")]).args(keys);
        let output = traced.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let calls = std::fs::read_to_string(&trace).unwrap();
        calls.lines().filter(|line| line.contains(&locks)).count()
    };
    // The first one makes the directory, and looks for idle files.
    count(TURNS);
    let (few, many) = (count(TURNS), count(2 * TURNS));
    (many - few + TURNS / 2) / TURNS
}

/// A file is opened again after a second: on a busy machine one of several rounds shows what a turn takes.
fn assert_cost(mode: &str, keys: &[&str], expected: usize) {
    let mut counted = Vec::new();
    for _ in 0..5 {
        let calls = calls_of_a_turn(mode, keys);
        if calls == expected {
            return;
        }
        counted.push(calls);
    }
    panic!("{mode} on {keys:?}: {counted:?} system calls, and {expected} were expected");
}

/// The file is kept open between two holds of one process.
fn a_lock_that_is_used_again_takes_seven_system_calls() {
    assert_cost("exclusive", &["k"], 7);
}

/// A ticket, which is made and removed with its directory, a look at those in front, and the directory's next fence. Without
/// those that close files.
fn a_reader_and_a_permit_take_twenty_five() {
    assert_cost("shared", &["k"], 25);
    assert_cost("3", &["k"], 25);
}

fn several_locks_take_as_many_as_each_of_them() {
    assert_cost("exclusive", &["a", "b", "c"], 3 * 7);
}
