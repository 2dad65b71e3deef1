//! What options change: `hold_at_least`, TTLs of their own, several clients of a process, and calls inside a body.

use super::builder::{Builder, two_workers};
use locks_torture::checker::Rule;
use locks_torture::history::{Ending, EventKind, Options, Outcome, Promises, Scope};

fn at_least(least_ms: u64) -> Options {
    Options { least_ms: Some(least_ms), ..Options::default() }
}

mod hold_at_least {
    use super::{Builder, Ending, EventKind, Outcome, Promises, Rule, Scope, at_least, two_workers};

    /// `a` asks for three seconds and its body ends soon; `b` begins `then`.
    fn kept(then: u64) -> Builder {
        let held = two_workers().invokes_as(0, "a", 1, at_least(3_000), true).holds(10, 100, "a", 1, 5);
        held.invokes(1, "b", 1).holds(then, then + 100, "b", 1, 6)
    }

    #[test]
    fn nobody_holds_the_lock_before_it_is_over() {
        assert_eq!(kept(2_900).violated(), [Rule::Exclusion]);
        assert_eq!(kept(2_990).violated(), []);
    }

    #[test]
    fn it_counts_from_the_end_of_the_hold_before() {
        let history = |then: u64| {
            let before = two_workers().invokes(0, "b", 1).holds(10, 2_000, "b", 1, 5);
            let kept = before.invokes_as(20, "a", 1, at_least(1_000), true).holds(2_005, 2_010, "a", 1, 6);
            kept.invokes(30, "b", 2).holds(then, then + 10, "b", 2, 7).violated()
        };
        assert_eq!(history(2_900), [Rule::Exclusion]);
        assert_eq!(history(2_960), []);
    }

    #[test]
    fn a_call_that_was_dropped_or_killed_in_its_body_keeps_the_lock_too() {
        let dropped = |then: u64| {
            let begun = two_workers().invokes_as(0, "a", 1, at_least(2_500), true).starts(10, "a", 1, 5);
            let dropped = begun.finishes(20, "a", 1, Ending::Dropped).returns(21, "a", 1, Outcome::Abandoned);
            dropped.invokes(1, "b", 1).holds(then, then + 10, "b", 1, 6).violated()
        };
        assert_eq!(dropped(2_000), [Rule::Exclusion]);
        assert_eq!(dropped(2_600), []);
        let killed = |then: u64| {
            let dead = two_workers().invokes_as(0, "a", 1, at_least(2_500), true).starts(10, "a", 1, 5).dies(20, "a");
            let fault = dead.fault(19, 30, Scope::Worker("a".into()));
            fault.invokes(1, "b", 1).holds(then, then + 10, "b", 1, 6).violated()
        };
        assert_eq!(killed(2_000), [Rule::Exclusion]);
        assert_eq!(killed(2_600), []);
    }

    #[test]
    fn a_body_that_begins_late_under_an_older_hold_is_not_the_next() {
        let history = |promises, resumed, grant| {
            let started = |pid| EventKind::WorkerStarted { pid, promises };
            let workers = Builder::default().event(0, "a", started(1)).event(0, "b", started(2));
            let late = workers.invokes(0, "b", 1).stalls(5, resumed, "b");
            let kept = late.invokes_as(4_000, "a", 1, at_least(3_000), true).holds(4_010, 4_100, "a", 1, 6);
            let begun = kept.starts(5_010, "b", 1, grant).beats(5_011, "b", 1, false);
            let ended = begun.finishes(5_012, "b", 1, Ending::Dropped);
            ended.returns(5_013, "b", 1, Outcome::Lost).violated()
        };
        let fenced = Promises { fencing: true, queue_order: true };
        assert_eq!(history(fenced, 5_000, 5), []);
        assert_eq!(history(fenced, 5_000, 7), [Rule::Exclusion]);
        // Without fences it is told by the pause.
        let plain = Promises { fencing: false, ..fenced };
        assert_eq!(history(plain, 5_000, 5), []);
        assert_eq!(history(plain, 3_500, 5), [Rule::Exclusion]);
    }

    #[test]
    fn a_revocation_takes_it_away() {
        assert_eq!(kept(1_000).fault(500, 510, Scope::Revocation("a".into())).violated(), []);
        assert_eq!(kept(1_000).fault(500, 510, Scope::Revocation("b".into())).violated(), [Rule::Exclusion]);
        assert_eq!(kept(1_000).fault(500, 510, Scope::Worker("a".into())).violated(), [Rule::Exclusion]);
    }

    #[test]
    fn a_lock_that_is_kept_is_not_free_and_one_that_was_kept_is() {
        assert_eq!(kept(4_400).violated(), []);
        assert_eq!(kept(4_600).violated(), [Rule::Progress]);
    }

    #[test]
    fn until_it_is_over_the_next_call_of_its_client_is_not_at_the_head() {
        let overtaken = |again: u64| {
            let kept = two_workers().invokes_as(0, "a", 1, at_least(4_000), true).holds(10, 100, "a", 1, 5);
            let queued = kept.invokes(20, "b", 1).invokes(30, "a", 2).invokes(again, "b", 2);
            let first = queued.holds(4_020, 9_000, "b", 1, 6).holds(9_010, 9_020, "b", 2, 7);
            first.holds(9_030, 9_040, "a", 2, 8).violated()
        };
        assert_eq!(overtaken(3_000), []);
        assert_eq!(overtaken(7_000), [Rule::Order]);
    }

    #[test]
    fn a_call_that_was_dropped_before_its_body_keeps_nothing() {
        let history = |then: u64| {
            let dropped = two_workers().invokes_as(0, "a", 1, at_least(9_000), true);
            let dropped = dropped.returns(10, "a", 1, Outcome::Abandoned);
            dropped.invokes(1, "b", 1).holds(then, then + 10, "b", 1, 6).violated()
        };
        assert_eq!(history(1_000), []);
        assert_eq!(history(1_700), [Rule::Progress]);
    }

    #[test]
    fn an_entry_that_is_kept_is_no_orphan_until_then() {
        let history = |last: u64| {
            let kept = two_workers().invokes_as(0, "a", 1, at_least(9_000), true).holds(10, 100, "a", 1, 5);
            kept.entry(10, last, 1).violated()
        };
        assert_eq!(history(13_500), []);
        assert_eq!(history(14_100), [Rule::Orphans]);
    }
}

mod ttl {
    use super::{Ending, Options, Outcome, Rule, Scope, two_workers};

    #[test]
    fn a_lock_with_a_longer_ttl_stays_for_longer() {
        let history = |ttl_ms, then: u64| {
            let options = Options { ttl_ms, ..Options::default() };
            let dead = two_workers().invokes_as(0, "a", 1, options, true).starts(10, "a", 1, 5).dies(100, "a");
            let fault = dead.entry(10, then - 10, 1).fault(90, 200, Scope::Worker("a".into()));
            fault.invokes(20, "b", 1).holds(then, then + 10, "b", 1, 6).violated()
        };
        assert_eq!(history(Some(6_000), 7_900), []);
        assert_eq!(history(Some(6_000), 9_900), [Rule::Orphans, Rule::Progress]);
        assert_eq!(history(None, 7_900), [Rule::Orphans, Rule::Progress]);
    }

    #[test]
    fn an_entry_may_be_seen_for_the_first_time_when_its_call_is_over() {
        let history = |ttl_ms| {
            let options = Options { ttl_ms, ..Options::default() };
            let begun = two_workers().invokes_as(0, "a", 1, options, true).starts(10, "a", 1, 5);
            let dropped = begun.finishes(20, "a", 1, Ending::Dropped).returns(21, "a", 1, Outcome::Abandoned);
            dropped.entry(30, 6_500, 1).dies(9_000, "a").violated()
        };
        assert_eq!(history(Some(6_000)), []);
        assert_eq!(history(None), [Rule::Orphans]);
    }
}

mod clients {
    use super::{Options, Rule, two_workers};

    /// `b` holds the lock; `a` requests it at 1 s by one client and at `second` by another; that one gets it first.
    fn overtaken(client: u64, second: u64) -> Vec<Rule> {
        let options = Options { client, ..Options::default() };
        let held = two_workers().invokes(0, "b", 1).holds(10, 9_000, "b", 1, 5).invokes(1_000, "a", 1);
        let second = held.invokes_as(second, "a", 2, options, true).holds(9_010, 9_020, "a", 2, 6);
        second.holds(9_030, 9_040, "a", 1, 7).violated()
    }

    #[test]
    fn each_client_of_a_process_has_an_entry_of_its_own() {
        assert_eq!(overtaken(0, 1_010), [Rule::Order]);
        assert_eq!(overtaken(1, 1_010), []);
        assert_eq!(overtaken(1, 8_000), [Rule::Order]);
    }

    #[test]
    fn two_clients_of_a_process_exclude_each_other() {
        let options = Options { client: 1, ..Options::default() };
        let first = two_workers().invokes(0, "a", 1).holds(10, 100, "a", 1, 5);
        assert_eq!(first.invokes_as(1, "a", 2, options, true).holds(90, 200, "a", 2, 6).violated(), [Rule::Exclusion]);
    }
}

mod joined {
    use super::{Builder, Ending, Options, Outcome, Rule, Scope, two_workers};

    fn joins() -> Options {
        Options { joins: Some(1), ..Options::default() }
    }

    /// The body of `a` runs until 1 s, and knows at `lost` that its lock is lost.
    fn outer(lost: Option<u64>) -> Builder {
        let begun = two_workers().invokes_as(0, "a", 1, Options::default(), false).starts(10, "a", 1, 5);
        let begun = begun.beats(20, "a", 1, true);
        let known = lost.into_iter().fold(begun, |history, at| history.beats(at, "a", 1, false));
        known.finishes(1_000, "a", 1, Ending::Done).returns(1_001, "a", 1, Outcome::Ran)
    }

    #[test]
    fn a_call_inside_the_body_runs_under_its_hold() {
        assert_eq!(outer(None).invokes_as(50, "a", 2, joins(), true).holds(60, 70, "a", 2, 5).violated(), []);
        // Two, one after the other.
        let twice = outer(None).invokes_as(50, "a", 2, joins(), true).holds(60, 70, "a", 2, 5);
        assert_eq!(twice.invokes_as(51, "a", 3, joins(), true).holds(73, 80, "a", 3, 5).violated(), []);
    }

    #[test]
    fn another_fence_or_a_longer_body_is_rejected() {
        let inner =
            |to, grant| outer(None).invokes_as(50, "a", 2, joins(), true).holds(60, to, "a", 2, grant).violated();
        assert_eq!(inner(70, 6), [Rule::Exclusion]);
        assert_eq!(inner(1_100, 5), [Rule::Exclusion]);
    }

    #[test]
    fn two_at_once_are_rejected() {
        let twice = outer(None).invokes_as(50, "a", 2, joins(), true).holds(60, 70, "a", 2, 5);
        assert_eq!(twice.invokes_as(51, "a", 3, joins(), true).holds(69, 80, "a", 3, 5).violated(), [Rule::Exclusion]);
    }

    #[test]
    fn a_lost_hold_is_not_joined() {
        let cut = |lost| outer(Some(lost)).fault(100, 200, Scope::Worker("a".into()));
        let inner = |lost| cut(lost).invokes_as(500, "a", 2, joins(), true);
        assert_eq!(inner(510).holds(505, 520, "a", 2, 5).violated(), []);
        assert_eq!(inner(400).holds(505, 520, "a", 2, 5).violated(), [Rule::Exclusion]);
        assert_eq!(inner(400).returns(501, "a", 2, Outcome::Lost).violated(), []);
        let for_nothing = outer(Some(400)).invokes_as(500, "a", 2, joins(), true);
        assert_eq!(for_nothing.returns(501, "a", 2, Outcome::Lost).violated(), [Rule::Outcome]);
    }

    #[test]
    fn a_body_that_joins_nothing_is_rejected() {
        let history = two_workers().invokes_as(50, "a", 2, joins(), true).holds(60, 70, "a", 2, 5);
        assert_eq!(history.violated(), [Rule::Exclusion]);
    }

    #[test]
    fn a_joined_body_excludes_others_as_its_hold_does() {
        let inner = outer(Some(500)).invokes_as(50, "a", 2, joins(), false).starts(60, "a", 2, 5);
        let inner = inner.beats(70, "a", 2, true).beats(700, "a", 2, true);
        let inner = inner.finishes(800, "a", 2, Ending::Done).returns(801, "a", 2, Outcome::Ran);
        assert_eq!(inner.invokes(1, "b", 1).holds(600, 900, "b", 1, 6).violated(), [Rule::Exclusion]);
    }

    #[test]
    fn an_inner_hold_at_least_keeps_the_lock() {
        let history = |then: u64| {
            let options = Options { least_ms: Some(3_000), ..joins() };
            let inner = outer(None).invokes_as(500, "a", 2, options, true).holds(505, 520, "a", 2, 5);
            inner.invokes(1, "b", 1).holds(then, then + 10, "b", 1, 6).violated()
        };
        assert_eq!(history(3_000), [Rule::Exclusion]);
        assert_eq!(history(3_500), []);
        assert_eq!(history(5_200), [Rule::Progress]);
    }

    /// The store is asked to keep the lock, which may take a while, and the time counts from when the call asked for it.
    /// Behind it in its own process, a call comes into the line of all when that is over, and not before.
    #[test]
    fn an_inner_hold_at_least_keeps_the_next_of_its_client_out_of_the_line() {
        let history = |asked: u64| {
            let options = Options { least_ms: Some(3_000), ..joins() };
            let inner = outer(None).invokes_as(500, "a", 2, options, true).holds(505, 520, "a", 2, 5);
            let others = inner.invokes(1_100, "b", 1).holds(3_600, 8_400, "b", 1, 6);
            let behind = others.invokes(20, "a", 3).holds(9_000, 9_010, "a", 3, 8);
            behind.invokes(asked, "b", 2).holds(8_500, 8_600, "b", 2, 7).violated()
        };
        assert_eq!(history(1_300), []);
        assert_eq!(history(3_400), []);
        assert_eq!(history(8_000), [Rule::Order]);
    }

    /// The inner call names one of the locks, and keeps all of them.
    #[test]
    fn an_inner_hold_at_least_keeps_all_locks_of_its_hold() {
        let history = |then: u64| {
            let outer = two_workers().invokes_several(0, "a", 1, &["/k", "/other"]);
            let options = Options { least_ms: Some(3_000), ..joins() };
            let inner = outer.invokes_as(500, "a", 2, options, true).holds(505, 520, "a", 2, 5);
            let outer = inner.holds_several(10, 1_000, "a", 1, &[5, 6]);
            outer.invokes_several(1, "b", 1, &["/other"]).holds_several(then, then + 10, "b", 1, &[7]).violated()
        };
        assert_eq!(history(3_600), []);
        assert_eq!(history(5_200), [Rule::Progress]);
    }

    #[test]
    fn an_inner_hold_at_least_counts_from_its_call() {
        let history = |then: u64| {
            let options = Options { least_ms: Some(3_000), ..joins() };
            let inner = outer(None).invokes_as(100, "a", 2, options, true).holds(900, 920, "a", 2, 5);
            inner.invokes(1, "b", 1).holds(then, then + 10, "b", 1, 6).violated()
        };
        assert_eq!(history(3_000), [Rule::Exclusion]);
        assert_eq!(history(3_100), []);
    }

    /// The outer hold is revoked before the inner call asks for its time, and nobody knows it yet.
    #[test]
    fn an_inner_hold_at_least_under_a_hold_that_was_taken_away_keeps_nothing() {
        let history = |revoked| {
            let options = Options { least_ms: Some(3_000), ..joins() };
            let inner = outer(Some(530)).invokes_as(500, "a", 2, options, true).holds(505, 520, "a", 2, 5);
            let taken = inner.fault(revoked, revoked + 10, Scope::Revocation("a".into()));
            taken.invokes(1, "b", 1).holds(1_200, 1_300, "b", 1, 6).violated()
        };
        assert_eq!(history(450), []);
        assert_eq!(history(1_400), [Rule::Exclusion]);
    }
}
