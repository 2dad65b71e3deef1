//! Processes that end by themselves, and children that they fork.

use super::builder::two_workers;
use locks_torture::checker::Rule;
use locks_torture::history::{Ending, EventKind, Outcome, Promises, Scope, Wait};
use locks_torture::matrix::Deed;

fn ended(planned: Option<Deed>, status: &str) -> Vec<Rule> {
    let status = status.to_owned();
    let history = two_workers().invokes(0, "a", 1).starts(10, "a", 1, 5);
    let history = planned.into_iter().fold(history, |history, deed| history.event(99, "a", EventKind::Ends { deed }));
    history.event(100, "nemesis", EventKind::WorkerEnded { process: "a".into(), status }).violated()
}

#[test]
fn a_process_that_ends_by_itself_is_rejected() {
    assert_eq!(ended(None, "exit status: 101\npanicked"), [Rule::Termination]);
    assert_eq!(ended(None, "exit status: 0"), [Rule::Termination]);
}

#[test]
fn one_that_was_to_end_does_so_as_it_was_to() {
    assert_eq!(ended(Some(Deed::Exit), "exit status: 0"), []);
    assert_eq!(ended(Some(Deed::Return), "exit status: 0"), []);
    assert_eq!(ended(Some(Deed::Abort), "signal: 6 (SIGABRT) (core dumped)"), []);
    assert_eq!(ended(Some(Deed::Kill), "signal: 9 (SIGKILL)"), []);
    assert_eq!(ended(Some(Deed::Return), "exit status: 101"), [Rule::Termination]);
    assert_eq!(ended(Some(Deed::Exit), "signal: 11 (SIGSEGV)"), [Rule::Termination]);
}

#[test]
fn the_end_of_a_process_explains_waiting_for_a_ttl() {
    let history = |then: u64| {
        let held = two_workers().invokes(0, "a", 1).starts(10, "a", 1, 5);
        let ends = held.event(100, "a", EventKind::Ends { deed: Deed::Exit });
        let status = "exit status: 0".to_owned();
        let ended = ends.event(110, "nemesis", EventKind::WorkerEnded { process: "a".into(), status });
        ended.invokes(20, "b", 1).holds(then, then + 10, "b", 1, 6).violated()
    };
    assert_eq!(history(4_000), []);
    assert_eq!(history(6_700), [Rule::Progress]);
}

/// A child of `a`, which holds the lock until 1 s.
fn forked(held: bool, child_holds_at: Option<u64>) -> Vec<Rule> {
    let parent = two_workers().invokes(0, "a", 1).starts(10, "a", 1, 5).finishes(1_000, "a", 1, Ending::Done);
    let parent = parent.returns(1_001, "a", 1, Outcome::Ran);
    let promises = Promises { fencing: true, queue_order: true };
    let child = parent.event(100, "a+1", EventKind::WorkerStarted { pid: 7, promises });
    let child = child.event(101, "a", EventKind::Inherited { call: 1, held });
    let child = child.invokes_with(102, "a+1", 1, Wait::Never, false);
    match child_holds_at {
        Some(at) => child.holds(at, at + 10, "a+1", 1, 6).violated(),
        None => child.returns(110, "a+1", 1, Outcome::Busy).violated(),
    }
}

#[test]
fn a_forked_child_inherits_no_hold() {
    assert_eq!(forked(false, None), []);
    assert_eq!(forked(true, None), [Rule::Exclusion]);
}

#[test]
fn a_forked_child_excludes_and_is_excluded() {
    assert_eq!(forked(false, Some(1_002)), []);
    assert_eq!(forked(false, Some(900)), [Rule::Exclusion]);
}

#[test]
fn a_child_dies_with_the_worker_that_the_nemesis_kills() {
    let promises = Promises { fencing: true, queue_order: true };
    let child = two_workers().event(100, "a+1", EventKind::WorkerStarted { pid: 7, promises });
    let waits = child.invokes_with(102, "a+1", 1, Wait::Forever, false).fault(0, 9_000, Scope::Store);
    assert_eq!(waits.dies(200, "a").violated(), []);
    let child = two_workers().event(100, "a+1", EventKind::WorkerStarted { pid: 7, promises });
    let waits = child.invokes_with(102, "a+1", 1, Wait::Forever, false).fault(0, 9_000, Scope::Store);
    assert_eq!(waits.dies(200, "b").violated(), [Rule::Termination]);
}

#[test]
fn a_fault_of_a_network_explains_waiting_of_every_process_behind_it() {
    let waits = |scope| {
        let held = two_workers().invokes(0, "w1.4", 1).starts(10, "w1.4", 1, 5).dies(100, "w1.4");
        held.invokes(300, "w1.5", 1).holds(10_000, 10_010, "w1.5", 1, 6).fault(90, 9_900, scope).violated()
    };
    assert_eq!(waits(Scope::Route("w1".into())), []);
    assert_eq!(waits(Scope::Route("w2".into())), [Rule::Progress]);
}
