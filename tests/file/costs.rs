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
    // The first one makes the directory.
    let (Some(_), Some(few), Some(many)) = (count(1), count(TURNS), count(2 * TURNS)) else {
        println!("strace is missing, or may not trace: nothing is counted");
        return None;
    };
    Some((many - few + TURNS / 2) / TURNS)
}

/// The file is kept open between two holds of one process.
#[test]
fn a_lock_that_is_used_again_takes_seven_system_calls() {
    if let Some(calls) = calls_of_a_turn("exclusive", &["k"]) {
        assert_eq!(calls, 7);
    }
}

#[test]
fn a_reader_and_a_permit_take_so_many_system_calls_more() {
    for mode in ["shared", "3"] {
        if let Some(calls) = calls_of_a_turn(mode, &["k"]) {
            println!("{mode}: {calls} system calls");
            assert!((20..=32).contains(&calls), "{mode}: {calls}");
        }
    }
}

#[test]
fn several_locks_take_as_many_system_calls_as_each_of_them() {
    if let Some(calls) = calls_of_a_turn("exclusive", &["a", "b", "c"]) {
        assert_eq!(calls, 3 * 7);
    }
}
