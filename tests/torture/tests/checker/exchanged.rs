//! A store that is full, or that is what it was some seconds before.

use locks_torture::checker::Rule;
use locks_torture::history::{Ending, Outcome, Scope};

use super::builder::two_workers;

#[test]
fn a_full_store_explains_waiting_until_there_is_room_and_a_moment_longer() {
    let history = |at| {
        let held = two_workers().invokes(0, "a", 1).holds(10, 100, "a", 1, 5).invokes(1, "b", 1);
        held.holds(at, at + 100, "b", 1, 6).fault(90, 4_000, Scope::Full).violated()
    };
    assert_eq!(history(6_500), []);
    assert_eq!(history(8_000), [Rule::Progress]);
}

#[test]
fn a_full_store_keeps_nobody_from_removing_an_entry() {
    let history = |scope| {
        let held = two_workers().invokes(0, "a", 1).holds(10, 100, "a", 1, 5).entry(10, 6_000, 1);
        held.fault(90, 6_000, scope).violated()
    };
    assert_eq!(history(Scope::Store), []);
    assert_eq!(history(Scope::Full), [Rule::Orphans]);
}

#[test]
fn a_full_store_is_no_reason_to_lose_what_is_held() {
    let history = |scope| {
        let held = two_workers().invokes(0, "a", 1).starts(10, "a", 1, 5).finishes(4_000, "a", 1, Ending::Dropped);
        held.returns(4_001, "a", 1, Outcome::Lost).fault(90, 6_000, scope).violated()
    };
    assert_eq!(history(Scope::Store), []);
    assert_eq!(history(Scope::Full), [Rule::Outcome]);
}

#[test]
fn a_holder_notices_by_its_deadline_that_the_store_was_restored() {
    let history = |end| {
        let held = two_workers().invokes(0, "a", 1).starts(10, "a", 1, 5).finishes(end, "a", 1, Ending::Dropped);
        let restored = held.returns(end, "a", 1, Outcome::Lost).fault(499, 1_000, Scope::Store);
        let restored = restored.fault(500, 1_000, Scope::Forgotten(3_000));
        restored.invokes(1, "b", 1).holds(1_020, 6_000, "b", 1, 6).violated()
    };
    assert_eq!(history(4_000), []);
    assert_eq!(history(4_600), [Rule::Exclusion]);
}

/// As those of files, whose counter is a moment ahead of the clock: nobody begins with a lower one after that.
#[test]
fn fences_may_go_back_for_a_moment_where_the_counter_was_deleted() {
    let history = |before, begun| {
        let early = two_workers().invokes(0, "a", 1).starts(before, "a", 1, 5).finishes(505, "a", 1, Ending::Dropped);
        let lost = early.returns(506, "a", 1, Outcome::Lost).fault(500, 500, Scope::Store);
        let lost = lost.fault(500, 500, Scope::Forgotten(250));
        lost.invokes(1, "b", 1).holds(begun, 1_200, "b", 1, 4).violated()
    };
    assert_eq!(history(490, 510), []);
    assert_eq!(history(490, 800), [Rule::Fences]);
    assert_eq!(history(100, 510), [Rule::Fences], "the clock has passed that fence");
}

#[test]
fn fences_do_not_go_back_with_a_store_that_was_restored() {
    let history = |fence| {
        let early =
            two_workers().invokes(0, "a", 1).holds(10, 400, "a", 1, 5).fault(500, 1_000, Scope::Forgotten(3_000));
        early.invokes(1_100, "b", 1).holds(1_120, 1_200, "b", 1, fence).violated()
    };
    assert_eq!(history(6), []);
    assert_eq!(history(4), [Rule::Fences]);
}
