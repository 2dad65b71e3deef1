//! What a lock costs: the system calls on its files, counted by strace.

use super::Store;
use std::process::Command;
use support::child::binary;

/// Those that are about files.
const CALLS: &str = "openat,flock,pread64,pwrite64,read,ftruncate,statx,newfstatat,fstat,unlink,rmdir,mkdir,getdents64";

/// How many system calls with one of the directory's files or its path the turns make, after the first ones.
fn calls_of_a_turn(mode: &str, keys: &[&str]) -> Option<usize> {
    const TURNS: usize = 40;
    let store = Store::new();
    let trace = store.0.path().join("trace");
    let count = |turns: usize| {
        let mut traced = Command::new("strace");
        traced.args(["-f", "-y", "-qq", "-e", &format!("trace={CALLS}"), "-o"]).arg(&trace);
        traced.arg(binary("worker").get_program());
        traced.args(["turns-as", mode, &turns.to_string(), &store.url()]).args(keys);
        if !traced.output().is_ok_and(|output| output.status.success()) {
            return None;
        }
        let calls = std::fs::read_to_string(&trace).unwrap();
        let directory = store.0.path().join("locks").display().to_string();
        Some(calls.lines().filter(|line| line.contains(&directory)).count())
    };
    // The first one makes the directory, and looks for idle files.
    let (Some(_), Some(few), Some(many)) = (count(TURNS), count(TURNS), count(2 * TURNS)) else {
        println!("strace is missing, or may not trace: nothing is counted");
        return None;
    };
    Some((many - few + TURNS / 2) / TURNS)
}

/// A file is opened again after a second: on a busy machine one of several rounds shows what a turn takes.
fn assert_cost(mode: &str, keys: &[&str], expected: usize) {
    let mut counted = Vec::new();
    while counted.len() < 5 {
        match calls_of_a_turn(mode, keys) {
            Some(calls) if calls != expected => counted.push(calls),
            _ => return,
        }
    }
    assert!(counted.is_empty(), "{mode} on {keys:?}: {counted:?} system calls, and {expected} were expected");
}

/// The file is kept open between two holds of one process.
#[test]
fn a_lock_that_is_used_again_takes_seven_system_calls() {
    assert_cost("exclusive", &["k"], 7);
}

/// A ticket, which is made and removed with its directory, a look at those in front, and the directory's next fence. Without
/// those that close files.
#[test]
fn a_reader_and_a_permit_take_twenty_five() {
    assert_cost("shared", &["k"], 25);
    assert_cost("3", &["k"], 25);
}

#[test]
fn several_locks_take_as_many_as_each_of_them() {
    assert_cost("exclusive", &["a", "b", "c"], 3 * 7);
}
