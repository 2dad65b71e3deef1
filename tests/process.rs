//! What a process does to its locks, on the stores that need no server: it forks, ends, and drops guards in delicate places.

use distributed_locks::{Locks, blocking};
use support::child::{Child, binary};
use support::scenarios::forks::Family;
use support::scenarios::worker;

#[test]
fn a_forked_child_shares_nothing_and_works_by_itself_on_files() {
    let directory = tempfile::tempdir().unwrap();
    let family = Family::run(&format!("file://{}", directory.path().join("locks").display()), "/forks");
    family.assert_nothing_is_shared();
    family.assert_new_clients_work();
    family.assert_exclusion();
}

/// In memory there is nothing that excludes two processes: the child is told so, and connects itself if it wants to.
#[test]
fn a_forked_child_has_no_global_client_in_memory_until_it_makes_one() {
    let family = Family::run("memory:", "/forks");
    family.assert_nothing_is_shared();
    family.assert_new_clients_work();
    family.assert_global_client_is_missing();
}

/// Nothing aborts, and the lock is free soon: its TTL would end in ten minutes.
#[test]
fn a_guard_is_released_wherever_it_is_dropped() {
    for how in ["local-first", "local-last", "local-first-spans", "local-last-spans", "panic", "panic-spans", "runtime"]
    {
        let mut worker = worker(&["guards", how, "memory:?ttl=600s", "/guards"]);
        worker.next_line("start");
        assert_eq!(worker.next_line("ended"), (!how.starts_with("panic")).to_string(), "{how}");
        worker.next_line("free");
        assert!(worker.wait().success(), "{how}: {}", worker.stderr());
        // A subscriber that reports the ends of spans may not be able to, and nobody else is harmed by that.
        let is_quiet = ["local-first", "local-last", "runtime"].contains(&how);
        assert!(!is_quiet || !worker.stderr().contains("panicked"), "{how}: {}", worker.stderr());
    }
}

/// On files the lock is free then, too: the kernel sees to it.
#[test]
fn a_process_that_ends_with_a_guard_ends_well() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("file://{}", directory.path().join("locks").display());
    for how in ["local-of-main", "local-of-main-spans", "static"] {
        let mut worker = worker(&["guards", how, &url, "/guards"]);
        worker.next_line("start");
        assert!(worker.wait().success(), "{how}: {}", worker.stderr());
        assert!(how.ends_with("spans") || !worker.stderr().contains("panicked"), "{how}: {}", worker.stderr());
        let locks = Locks::connect(&url).unwrap();
        assert!(blocking(locks.lock("/guards").try_acquire()).unwrap().is_some(), "{how}");
    }
}

/// Their first program has neither a client nor a subscriber, and its functions return nothing.
#[test]
fn who_forgets_the_client_reads_so_once() {
    let mut worker = Child::start(binary("worker").arg("forgetful").env_remove("LOCKS_URL"));
    assert!(worker.wait().success());
    let stderr = worker.whole_stderr();
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for part in
        ["`worker::forgetful` did not run to its end", "/forgetful/first", "distributed_locks::init", "LOCKS_URL"]
    {
        assert!(stderr.contains(part), "{part:?} is missing in {stderr}");
    }
}
