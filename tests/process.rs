//! What a process does to its locks, on the stores that need no server: it forks.

#![expect(clippy::unwrap_used, reason = "a test whose preparation fails has failed")]

use support::scenarios::forks::Family;

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
