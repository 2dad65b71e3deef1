//! Clients of other projects: nobody beside them, for as long as they promise it.

use super::builder::{Builder, KEY, two_workers};
use super::{Ending, Outcome, Rule, Scope, Wait};
use locks_torture::foreign::Step;
use locks_torture::history::EventKind;

impl Builder {
    fn foreign(self, at: u64, process: &str, turn: u64, step: Step) -> Self {
        self.event(at, process, EventKind::Foreign { turn, step })
    }

    fn requested(self, at: u64, process: &str, turn: u64, unchecked: bool) -> Self {
        self.foreign(at, process, turn, Step::Requested { key: KEY.into(), unchecked })
    }

    fn foreign_holds(self, from: u64, to: u64, process: &str, turn: u64, until: Option<u64>) -> Self {
        let requested = self.requested(from - 1, process, turn, false);
        let held = requested.foreign(from, process, turn, Step::Held { until: until.map(|until| until * 1_000_000) });
        held.foreign(to, process, turn, Step::Left).foreign(to + 2, process, turn, Step::Over { error: None })
    }
}

fn ours(history: Builder, from: u64, to: u64) -> Builder {
    history.invokes(from - 1, "a", 1).holds(from, to, "a", 1, 5)
}

#[test]
fn one_after_the_other_is_accepted_and_two_at_once_are_not() {
    let history = |from| ours(two_workers(), 10, 100).foreign_holds(from, from + 50, "go.1", 7, None).violated();
    assert_eq!(history(103), []);
    assert_eq!(history(99), [Rule::Exclusion]);
    let history = |from| ours(two_workers().foreign_holds(10, 100, "go.1", 7, None), from, from + 50).violated();
    assert_eq!(history(103), []);
    assert_eq!(history(99), [Rule::Exclusion]);
}

#[test]
fn two_other_clients_at_once_are_rejected() {
    let history = |from| {
        let first = ours(two_workers(), 10, 20).foreign_holds(30, 100, "go.1", 7, None);
        first.foreign_holds(from, from + 50, "jetcd.1", 8, None).violated()
    };
    assert_eq!(history(101), []);
    assert_eq!(history(99), [Rule::Exclusion]);
}

#[test]
fn what_is_not_renewed_is_protected_until_its_ttl_ends() {
    let history = |until| {
        let overrun = two_workers().foreign_holds(10, 4_000, "redis-py.1", 7, Some(until));
        ours(overrun, 3_010, 3_500).violated()
    };
    assert_eq!(history(3_005), []);
    assert_eq!(history(3_015), [Rule::Exclusion]);
}

#[test]
fn what_is_renewed_is_protected_unless_a_fault_kept_the_client_from_it_for_long() {
    let history = |from, scope| {
        let overrun = two_workers().foreign_holds(10, 9_000, "go.1", 7, None).fault(1_000, 6_000, scope);
        ours(overrun, from, from + 400).violated()
    };
    let its_own = || Scope::Worker("go.1".into());
    assert_eq!(history(4_100, its_own()), []);
    assert_eq!(history(4_100, Scope::Store), []);
    // The TTL is 3 s, and it renews each second.
    assert_eq!(history(2_400, its_own()), [Rule::Exclusion]);
    assert_eq!(history(4_100, Scope::Worker("jetcd.1".into())), [Rule::Exclusion]);
    assert_eq!(history(4_100, Scope::Worker("a".into())), [Rule::Exclusion]);
    assert_eq!(history(4_100, Scope::Load), [Rule::Exclusion]);
}

#[test]
fn that_it_may_have_lapsed_is_no_excuse_for_having_got_a_lock_that_was_held() {
    let history = |until| {
        let held = ours(two_workers(), 10, 4_000);
        held.foreign_holds(3_500, 3_600, "redis-py.1", 7, Some(until)).violated()
    };
    // Its TTL was over when it said that it held the lock, but it asked for it while we held it.
    assert_eq!(history(3_400), [Rule::Exclusion]);
    assert_eq!(history(5), []);
}

#[test]
fn a_fault_that_is_long_over_explains_nothing() {
    let history = |begun| {
        let overrun = two_workers().fault(1_000, 2_000, Scope::Store).foreign_holds(begun, 20_000, "go.1", 7, None);
        ours(overrun, 15_000, 15_100).violated()
    };
    assert_eq!(history(2_500), []);
    assert_eq!(history(9_000), [Rule::Exclusion]);
}

/// Curator waits again after it has abandoned its session, and takes its old entry, which is about to lapse, for its own.
#[test]
fn whoever_waited_since_before_an_outage_may_have_an_entry_that_is_about_to_lapse() {
    let history = |requested, begun| {
        let waits = two_workers().requested(requested, "curator.1", 7, false).fault(1_000, 4_000, Scope::Store);
        let held = waits.foreign(begun, "curator.1", 7, Step::Held { until: None });
        ours(held.foreign(20_000, "curator.1", 7, Step::Left), begun + 10, begun + 100).violated()
    };
    assert_eq!(history(10, 9_900), []);
    assert_eq!(history(10, 10_100), [Rule::Exclusion]);
    assert_eq!(history(4_100, 9_900), [Rule::Exclusion]);
}

#[test]
fn a_lock_that_lapsed_while_its_client_waited_is_nobodys_if_that_is_not_looked_at() {
    let history = |unchecked, fault| {
        let waits = two_workers().requested(10, "jetcd.1", 7, unchecked).fault(fault, fault + 2_000, Scope::Store);
        let told =
            waits.foreign(10_000, "jetcd.1", 7, Step::Held { until: None }).foreign(12_000, "jetcd.1", 7, Step::Left);
        ours(told, 10_100, 10_200).violated()
    };
    assert_eq!(history(true, 2_000), []);
    assert_eq!(history(false, 2_000), [Rule::Exclusion]);
    // What comes later than our body explains nothing.
    assert_eq!(history(true, 11_000), [Rule::Exclusion]);
}

#[test]
fn a_killed_client_holds_nothing() {
    let history = |from| {
        let waits = two_workers().requested(9, "go.1", 7, false);
        let killed = waits.foreign(10, "go.1", 7, Step::Held { until: None }).dies(1_000, "go.1");
        ours(killed, from, from + 100).violated()
    };
    assert_eq!(history(1_001), []);
    assert_eq!(history(999), [Rule::Exclusion]);
}

#[test]
fn a_body_of_ours_that_was_paused_is_excused_beside_another_client() {
    let paused = |stops| {
        let held = two_workers().invokes(0, "a", 1).starts(10, "a", 1, 5).beats(100, "a", 1, true);
        let stopped = held.stalls(101, 5_000, "a").finishes(stops, "a", 1, Ending::Dropped);
        let returned = stopped.returns(stops, "a", 1, Outcome::Lost);
        returned.foreign_holds(4_000, 6_000, "go.1", 7, None).violated()
    };
    assert_eq!(paused(5_010), []);
    assert_eq!(paused(5_600), [Rule::Exclusion]);
}

#[test]
fn a_body_of_ours_that_cannot_be_stopped_may_not_begin_beside_another_client() {
    let blocking = two_workers().foreign_holds(10, 500, "go.1", 7, None);
    let begun = blocking.invokes_with(1, "a", 1, Wait::Forever, false).starts(100, "a", 1, 5);
    let history = begun.finishes(400, "a", 1, Ending::Done).returns(402, "a", 1, Outcome::Ran);
    assert_eq!(history.violated(), [Rule::Exclusion]);
}

#[test]
fn nobody_waits_without_a_reason_when_another_client_has_released() {
    let history = |from| {
        let waits = two_workers().invokes(0, "a", 1).foreign_holds(10, 5_000, "go.1", 7, None);
        waits.holds(from, from + 100, "a", 1, 5).violated()
    };
    assert_eq!(history(5_100), []);
    assert_eq!(history(6_600), [Rule::Progress]);
}

/// It does not look which cluster has granted its lock.
#[test]
fn another_cluster_at_a_members_address_may_grant_what_is_held() {
    let history = |scope| {
        let held = ours(two_workers(), 10, 3_000).fault(1_000, 2_000, scope);
        held.foreign_holds(1_500, 1_600, "etcdctl.1", 7, None).violated()
    };
    assert_eq!(history(Scope::Impostor), []);
    assert_eq!(history(Scope::Store), [Rule::Exclusion]);
}
