//! What a fault of the store excuses, and what no fault does.

use crate::builder::{Builder, KEY, two_workers};
use locks_torture::checker::Rule;
use locks_torture::history::{Ending, EventKind, Options, Outcome, Scope, Wait};

/// `b` gets the lock at 1,500 while `a` holds it until `end`.
fn doubly_granted(end: u64) -> Builder {
    let held = two_workers().invokes(0, "a", 1).starts(10, "a", 1, 5).beats(900, "a", 1, true);
    let lost = held.finishes(end, "a", 1, Ending::Dropped).returns(end + 2, "a", 1, Outcome::Lost);
    lost.invokes(1, "b", 1).holds(1_500, 6_000, "b", 1, 6).fault(900, 1_200, Scope::Store)
}

#[test]
fn a_hold_that_the_store_forgot_ends_in_time() {
    let forgotten = |end| doubly_granted(end).fault(1_000, 1_000, Scope::Forgotten(3_000)).violated();
    assert_eq!(forgotten(4_400), []);
    assert_eq!(forgotten(4_600), [Rule::Exclusion]);
    assert_eq!(doubly_granted(4_400).violated(), [Rule::Exclusion]);
    let noticed_sooner = doubly_granted(4_400).fault(1_000, 1_000, Scope::Forgotten(250));
    assert_eq!(noticed_sooner.violated(), [Rule::Exclusion]);
}

/// Who is cut off notices it by its own deadline; who can look does so sooner.
#[test]
fn a_hold_with_a_longer_ttl_that_the_store_forgot_ends_by_its_own_deadline() {
    let forgotten = |ttl_ms, noticed, end| {
        let options = Options { ttl_ms, ..Options::default() };
        let held = two_workers().invokes_as(0, "a", 1, options, true).starts(10, "a", 1, 5).beats(900, "a", 1, true);
        let lost = held.finishes(end, "a", 1, Ending::Dropped).returns(end + 2, "a", 1, Outcome::Lost);
        let granted = lost.invokes(1, "b", 1).holds(1_500, 9_000, "b", 1, 6).fault(900, 1_200, Scope::Store);
        granted.fault(1_000, 1_000, Scope::Forgotten(noticed)).violated()
    };
    assert_eq!(forgotten(Some(6_000), 3_000, 7_400), []);
    assert_eq!(forgotten(Some(6_000), 3_000, 7_600), [Rule::Exclusion]);
    assert_eq!(forgotten(None, 3_000, 4_600), [Rule::Exclusion]);
    assert_eq!(forgotten(Some(6_000), 250, 1_800), [Rule::Exclusion]);
}

/// The newer one is the one that does not hold: it asked a server that was the primary before.
#[test]
fn what_a_former_primary_has_granted_ends_in_time() {
    let history = |begun, ended, scope| {
        let held = two_workers().invokes(0, "a", 1).holds(10, 9_000, "a", 1, 5).fault(900, 1_200, Scope::Store);
        held.fault(1_000, 2_000, scope).invokes(1, "b", 1).holds(begun, ended, "b", 1, 6).violated()
    };
    assert_eq!(history(1_500, 5_400, Scope::FormerPrimary(3_000)), []);
    assert_eq!(history(1_500, 5_600, Scope::FormerPrimary(3_000)), [Rule::Exclusion]);
    assert_eq!(history(2_600, 5_400, Scope::FormerPrimary(3_000)), [Rule::Exclusion]);
    assert_eq!(history(1_500, 5_400, Scope::Forgotten(3_000)), [Rule::Exclusion]);
}

#[test]
fn a_lock_that_was_granted_twice_before_the_store_forgot_it_is_rejected() {
    let forgotten_later = doubly_granted(4_400).fault(1_600, 1_600, Scope::Forgotten(3_000));
    assert_eq!(forgotten_later.violated(), [Rule::Exclusion]);
}

#[test]
fn a_fault_of_one_lock_explains_nothing_for_others() {
    let waits = |lock: &str| {
        let first = two_workers().invokes(0, "a", 1).holds(10, 100, "a", 1, 5);
        let next = first.invokes(50, "b", 1).holds(4_000, 4_100, "b", 1, 6);
        next.fault(60, 3_900, Scope::Lock(lock.into())).violated()
    };
    assert_eq!(waits(KEY), []);
    assert_eq!(waits("/other"), [Rule::Progress]);
}

#[test]
fn an_outage_a_refusal_and_a_loss_need_a_fault() {
    for outcome in [Outcome::Unavailable, Outcome::Refused, Outcome::Lost] {
        let returns = |outcome| two_workers().invokes_with(10, "a", 1, Wait::Never, true).returns(900, "a", 1, outcome);
        assert_eq!(returns(outcome).violated(), [Rule::Outcome], "{outcome:?}");
        let of_the_store = returns(outcome).fault(5, 700, Scope::Store);
        assert_eq!(of_the_store.violated(), [], "{outcome:?}");
        let of_another = returns(outcome).fault(5, 700, Scope::Worker("b".into()));
        assert_eq!(of_another.violated(), [Rule::Outcome], "{outcome:?}");
    }
}

#[test]
fn nothing_explains_an_unexpected_error() {
    let failed = two_workers().invokes_with(10, "a", 1, Wait::Never, true).returns(900, "a", 1, Outcome::Failed);
    assert_eq!(failed.fault(5, 700, Scope::Store).violated(), [Rule::Outcome]);
}

#[test]
fn what_stays_in_the_store_is_rejected() {
    let ended = |what: Vec<String>| {
        let held = two_workers().invokes(0, "a", 1).holds(10, 100, "a", 1, 5);
        held.event(9_000, "nemesis", EventKind::LeftBehind { what }).violated()
    };
    assert_eq!(ended(vec![]), []);
    assert_eq!(ended(vec!["{/k}:queue".into()]), [Rule::Orphans]);
}
