//! What a lock on files costs: the system calls on its files, counted by strace.

#![expect(clippy::unwrap_used, reason = "a case whose preparation fails has failed")]

use std::process::{Command, ExitCode};
use support::cases;
use support::child::binary;

/// Those that are about files, and the one that says where a turn ends.
const CALLS: &str =
    "openat,flock,pread64,pwrite64,read,ftruncate,statx,newfstatat,fstat,unlink,rmdir,mkdir,getdents64,write";

fn main() -> ExitCode {
    let tests: [(&str, fn()); 3] = [
        ("a_lock_that_is_used_again_takes_seven_system_calls", a_lock_that_is_used_again_takes_seven_system_calls),
        ("a_reader_and_a_permit_take_twenty_five", a_reader_and_a_permit_take_twenty_five),
        ("several_locks_take_as_many_as_each_of_them", several_locks_take_as_many_as_each_of_them),
    ];
    cases::run_trials(tests.into_iter().map(|(name, test)| cases::traced(name, test)).collect())
}

/// How many system calls with one of the directory's files or its path a turn makes, for each of many.
fn calls_of_turns(mode: &str, keys: &[&str]) -> Vec<usize> {
    let directory = tempfile::tempdir().unwrap();
    let (trace, locks) = (directory.path().join("trace"), directory.path().join("locks").display().to_string());
    let mut traced = Command::new("strace");
    traced.args(["-f", "-y", "-qq", "-e", &format!("trace={CALLS}"), "-o"]).arg(&trace);
    traced.arg(binary("worker").get_program()).args(["turns-as", mode, "80", &format!("file://{locks}")]).args(keys);
    let output = traced.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let calls = std::fs::read_to_string(&trace).unwrap();
    let mut turns = vec![0];
    for call in calls.lines() {
        if call.contains("\"turned\\n\"") {
            turns.push(0);
        } else if call.contains(&locks) {
            *turns.last_mut().unwrap() += 1;
        }
    }
    assert_eq!(turns.len(), 81, "80 turns of `worker`: {turns:?}");
    // What follows the last one empties what was kept.
    turns.pop();
    turns
}

/// The first turns make the directory and look for idle files, the next range of fences is taken every few milliseconds, and a
/// file is opened again after a second, which is at every other turn on a busy machine: what counts is a turn without them.
#[track_caller]
fn assert_cost(mode: &str, keys: &[&str], expected: usize) {
    let turns = calls_of_turns(mode, keys);
    assert_eq!(turns.iter().min(), Some(&expected), "system calls of {mode} on {keys:?}: {turns:?}");
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
