//! Readers, writers and permits: who may run beside whom, in which order, and with which fences.

use super::builder::{Builder, two_workers};
use distributed_locks::Mode::{self, Exclusive, Permits, Shared};
use locks_torture::checker::Rule;
use locks_torture::foreign::Step;
use locks_torture::history::{Ending, EventKind, Options, Outcome, Scope};

/// `a` has the lock until 200 ms in one mode, and `b` begins at 100 ms in another.
fn beside(first: Mode, second: Mode) -> Vec<Rule> {
    let history = two_workers().invokes_in(0, "a", 1, first).holds(10, 200, "a", 1, 5);
    history.invokes_in(1, "b", 1, second).holds(100, 300, "b", 1, 6).violated()
}

mod exclusion {
    use super::{
        Ending, EventKind, Exclusive, Options, Outcome, Permits, Rule, Scope, Shared, Step, beside, two_workers,
    };
    use crate::builder::{Builder, KEY};

    #[test]
    fn readers_run_beside_readers_and_permits_beside_permits() {
        assert_eq!(beside(Shared, Shared), []);
        assert_eq!(beside(Permits(2), Permits(2)), []);
        assert_eq!(beside(Permits(1), Permits(2)), []);
    }

    #[test]
    fn a_writer_runs_beside_nobody() {
        for mode in [Exclusive, Shared, Permits(2)] {
            assert_eq!(beside(mode, Exclusive), [Rule::Exclusion], "{mode}");
            assert_eq!(beside(Exclusive, mode), [Rule::Exclusion], "{mode}");
        }
        assert_eq!(beside(Shared, Permits(2)), [Rule::Exclusion]);
        assert_eq!(beside(Permits(2), Shared), [Rule::Exclusion]);
    }

    fn permits(history: Builder, first: u64, count: u64, limit: u32) -> Builder {
        (first..first + count).fold(history, |history, number| {
            let process = if number % 2 == 0 { "a" } else { "b" };
            let history = history.invokes_in(number, process, number, Permits(limit));
            history.holds(50 + number, 200 + number, process, number, 5 + number)
        })
    }

    #[test]
    fn no_more_run_than_have_permits() {
        assert_eq!(permits(two_workers(), 1, 3, 3).violated(), []);
        assert_eq!(permits(two_workers(), 1, 4, 3).violated(), [Rule::Exclusion]);
        assert_eq!(permits(two_workers(), 1, 2, 1).violated(), [Rule::Exclusion]);
    }

    #[test]
    fn each_counts_by_its_own_limit() {
        // The one with the lower limit came first.
        assert_eq!(permits(permits(two_workers(), 1, 2, 2), 3, 1, 3).violated(), []);
        assert_eq!(permits(permits(two_workers(), 1, 3, 3), 4, 1, 2).violated(), [Rule::Exclusion]);
    }

    /// A permit is kept by a call whose body is over.
    #[test]
    fn a_permit_that_is_held_at_least_counts_until_then() {
        let history = |then: u64| {
            let options = Options { least_ms: Some(3_000), mode: Permits(2), ..Options::default() };
            let kept = two_workers().invokes_as(0, "a", 1, options, true).holds(10, 100, "a", 1, 5);
            let second = kept.invokes_in(1, "b", 1, Permits(2)).holds(20, 9_000, "b", 1, 6);
            second.invokes_in(30, "a", 2, Permits(2)).holds(then, then + 10, "a", 2, 7)
        };
        assert_eq!(history(2_900).violated(), [Rule::Exclusion]);
        assert_eq!(history(2_990).violated(), []);
        assert_eq!(history(2_900).fault(500, 510, Scope::Revocation("a".into())).violated(), []);
        assert_eq!(history(2_900).fault(500, 510, Scope::Revocation("b".into())).violated(), [Rule::Exclusion]);
    }

    #[test]
    fn a_reader_that_holds_at_least_keeps_out_writers_and_no_readers() {
        let history = |mode| {
            let options = Options { least_ms: Some(3_000), mode: Shared, ..Options::default() };
            let kept = two_workers().invokes_as(0, "a", 1, options, true).holds(10, 100, "a", 1, 5);
            kept.invokes_in(1, "b", 1, mode).holds(1_000, 1_100, "b", 1, 6).violated()
        };
        assert_eq!(history(Shared), []);
        assert_eq!(history(Exclusive), [Rule::Exclusion]);
    }

    #[test]
    fn one_permit_too_many_is_excused_for_who_was_paused() {
        let history = |stops| {
            let held = two_workers().invokes_in(0, "a", 1, Permits(2)).starts(10, "a", 1, 5).beats(100, "a", 1, true);
            let paused = held.stalls(101, 5_000, "a").finishes(stops, "a", 1, Ending::Dropped);
            let lost = paused.returns(stops, "a", 1, Outcome::Lost);
            let second = lost.invokes_in(1, "b", 1, Permits(2)).holds(20, 6_000, "b", 1, 6);
            second.invokes_in(2, "b", 2, Permits(2)).holds(4_000, 6_000, "b", 2, 7).violated()
        };
        assert_eq!(history(5_010), []);
        assert_eq!(history(5_600), [Rule::Exclusion]);
    }

    #[test]
    fn a_reader_that_was_paused_is_excused_beside_a_writer() {
        let history = |stops| {
            let held = two_workers().invokes_in(0, "a", 1, Shared).starts(10, "a", 1, 5).beats(100, "a", 1, true);
            let paused = held.stalls(101, 5_000, "a").finishes(stops, "a", 1, Ending::Dropped);
            let lost = paused.returns(stops, "a", 1, Outcome::Lost);
            lost.invokes(1, "b", 1).holds(4_000, 6_000, "b", 1, 6).violated()
        };
        assert_eq!(history(5_010), []);
        assert_eq!(history(5_600), [Rule::Exclusion]);
    }

    #[test]
    fn a_client_of_another_project_runs_beside_no_reader() {
        let history = |from: u64| {
            let step = |history: Builder, at, step| history.event(at, "go.1", EventKind::Foreign { turn: 7, step });
            let read = two_workers().invokes_in(0, "a", 1, Shared).holds(10, 100, "a", 1, 5);
            let asks = step(read, from - 1, Step::Requested { key: KEY.into(), unchecked: false });
            let held = step(step(asks, from, Step::Held { until: None }), from + 50, Step::Left);
            step(held, from + 52, Step::Over { error: None }).violated()
        };
        assert_eq!(history(103), []);
        assert_eq!(history(99), [Rule::Exclusion]);
    }
}

mod joined {
    use super::{Exclusive, Options, Rule, Shared, two_workers};

    #[test]
    fn a_reader_inside_a_writer_is_under_its_hold_and_beside_nobody() {
        let history = |then: u64| {
            let options = Options { joins: Some(1), mode: Shared, ..Options::default() };
            let outer = two_workers().invokes_in(0, "a", 1, Exclusive).holds(10, 1_000, "a", 1, 5);
            let inner = outer.invokes_as(50, "a", 2, options, true).holds(60, 70, "a", 2, 5);
            inner.invokes_in(1, "b", 1, Shared).holds(then, then + 100, "b", 1, 6).violated()
        };
        assert_eq!(history(1_002), []);
        assert_eq!(history(65), [Rule::Exclusion]);
    }
}

mod fences {
    use super::{Exclusive, Mode, Permits, Rule, Shared, two_workers};

    fn in_turn(first: Mode, second: Mode, grant: u64) -> Vec<Rule> {
        let history = two_workers().invokes_in(0, "a", 1, first).holds(10, 100, "a", 1, 5);
        history.invokes_in(1, "b", 1, second).holds(103, 200, "b", 1, grant).violated()
    }

    #[test]
    fn a_writers_fence_is_above_those_of_all_before_it() {
        for first in [Exclusive, Shared, Permits(2)] {
            assert_eq!(in_turn(first, Exclusive, 6), [], "{first}");
            for grant in [4, 5] {
                assert_eq!(in_turn(first, Exclusive, grant), [Rule::Fences], "{first}");
            }
        }
    }

    #[test]
    fn a_readers_fence_is_above_those_of_writers_only() {
        for (first, second) in [(Shared, Shared), (Permits(2), Permits(2)), (Permits(2), Shared)] {
            assert_eq!(in_turn(first, second, 4), [], "{second} after {first}");
        }
        assert_eq!(in_turn(Exclusive, Shared, 4), [Rule::Fences]);
        assert_eq!(in_turn(Exclusive, Permits(2), 5), [Rule::Fences]);
    }

    /// The second reader has a smaller fence than the first.
    #[test]
    fn a_writers_fence_is_above_the_greatest_of_several_readers() {
        let history = |grant| {
            let first = two_workers().invokes_in(0, "a", 1, Shared).holds(10, 100, "a", 1, 9);
            let second = first.invokes_in(1, "a", 2, Shared).holds(20, 110, "a", 2, 7);
            second.invokes(2, "b", 1).holds(120, 200, "b", 1, grant).violated()
        };
        assert_eq!(history(10), []);
        assert_eq!(history(8), [Rule::Fences]);
    }
}

mod register {
    use super::{Rule, Shared, two_workers};

    /// A reader has a greater fence, and writes nothing.
    #[test]
    fn a_reader_is_no_reason_to_refuse_the_write_of_a_writer() {
        let history = |accepted: bool| {
            let held = two_workers().invokes(0, "a", 1).holds(10, 100, "a", 1, 5);
            let read = held.invokes_in(1, "b", 1, Shared).holds(110, 200, "b", 1, 6);
            let previous = if accepted { 0 } else { 7 };
            let other = if accepted { read } else { read.writes(1, 2, 7, 0, true) };
            other.writes(90, 150, 5, previous, accepted).violated()
        };
        assert_eq!(history(true), []);
        assert_eq!(history(false), [Rule::Holder]);
    }
}

mod order {
    use super::{Builder, Exclusive, Mode, Permits, Rule, Scope, Shared, two_workers};

    /// `b` has the lock in mode `held`, `a` requests it at 1 s as `waits`, and `b` again at 8 s as `later`, and gets it first.
    fn overtaken(held: Mode, waits: Mode, later: Mode, begins: u64) -> Builder {
        let history = two_workers().invokes_in(0, "b", 1, held).holds(10, 9_000, "b", 1, 5);
        let waiting = history.invokes_in(1_000, "a", 1, waits).invokes_in(8_000, "b", 2, later);
        waiting.holds(begins, 9_400, "b", 2, 6).holds(9_420, 9_430, "a", 1, 7)
    }

    #[test]
    fn a_reader_does_not_pass_a_writer_that_waits() {
        assert_eq!(overtaken(Shared, Exclusive, Shared, 8_010).violated(), [Rule::Order]);
        let cut = overtaken(Shared, Exclusive, Shared, 8_010).fault(4_000, 5_000, Scope::Worker("a".into()));
        assert_eq!(cut.violated(), []);
        // It came just before the writer, perhaps.
        let history = two_workers().invokes_in(0, "b", 1, Shared).holds(10, 900, "b", 1, 5);
        let together = history.invokes(300, "a", 1).invokes_in(310, "b", 2, Shared).holds(320, 900, "b", 2, 6);
        assert_eq!(together.holds(910, 920, "a", 1, 7).violated(), []);
    }

    #[test]
    fn nobody_passes_whom_it_would_keep_waiting() {
        for (waits, later) in [(Exclusive, Permits(2)), (Shared, Exclusive), (Permits(2), Shared)] {
            let history = overtaken(Exclusive, waits, later, 9_010).violated();
            assert_eq!(history, [Rule::Order], "{later} before {waits}");
        }
    }

    /// `a` and `b` wait for a writer; `b`, which came later, begins first and `a` so long after it.
    fn neighbours(mode: Mode, after: u64) -> Vec<Rule> {
        let history = two_workers().invokes(0, "b", 1).holds(10, 9_000, "b", 1, 5);
        let waiting = history.invokes_in(1_000, "a", 1, mode).invokes_in(8_000, "b", 2, mode);
        let first = waiting.holds(9_010, 12_000, "b", 2, 6);
        first.holds(9_010 + after, 12_000, "a", 1, 7).violated()
    }

    #[test]
    fn neighbours_are_served_at_one_moment_in_either_order() {
        for mode in [Shared, Permits(2)] {
            assert_eq!(neighbours(mode, 1_000), [], "{mode}");
            assert_eq!(neighbours(mode, 1_600), [Rule::Progress, Rule::Order], "{mode}");
        }
    }

    #[test]
    fn who_allows_more_may_pass_who_allows_less() {
        let history = |later| {
            let held = two_workers().invokes_in(0, "b", 1, Permits(4)).holds(10, 9_000, "b", 1, 5);
            let second = held.invokes_in(1, "b", 2, Permits(4)).holds(11, 9_000, "b", 2, 6);
            let waiting = second.invokes_in(1_000, "a", 1, Permits(2)).invokes_in(8_000, "b", 3, later);
            waiting.holds(8_010, 8_900, "b", 3, 7).holds(9_010, 9_100, "a", 1, 8).violated()
        };
        assert_eq!(history(Permits(4)), []);
        assert_eq!(history(Exclusive), [Rule::Exclusion, Rule::Order]);
    }
}

mod progress {
    use super::{Exclusive, Mode, Permits, Rule, Scope, Shared, two_workers};

    /// `a` holds the lock until 9 s, and `b` begins at `then`.
    fn beside(first: Mode, second: Mode, then: u64) -> Vec<Rule> {
        let history = two_workers().invokes_in(0, "a", 1, first).holds(10, 9_000, "a", 1, 5);
        history.invokes_in(100, "b", 1, second).holds(then, then + 10, "b", 1, 6).violated()
    }

    #[test]
    fn a_reader_does_not_wait_for_readers_nor_a_permit_for_one_of_two() {
        for mode in [Shared, Permits(2)] {
            assert_eq!(beside(mode, mode, 1_500), [], "{mode}");
            assert_eq!(beside(mode, mode, 1_700), [Rule::Progress], "{mode}");
        }
        assert_eq!(beside(Permits(1), Permits(1), 9_010), []);
        assert_eq!(beside(Shared, Exclusive, 9_010), []);
        assert_eq!(beside(Exclusive, Shared, 9_010), []);
    }

    #[test]
    fn a_reader_waits_for_a_writer_that_came_before_it_and_for_no_later_one() {
        let history = |writer: u64| {
            let read = two_workers().invokes_in(0, "b", 1, Shared).holds(10, 9_000, "b", 1, 5);
            let waits = read.invokes(writer, "b", 2).holds(9_010, 9_020, "b", 2, 6);
            waits.invokes_in(1_000, "a", 1, Shared).holds(9_030, 9_040, "a", 1, 7).violated()
        };
        assert_eq!(history(500), []);
        // It has been in the queue for a while by then.
        assert_eq!(history(4_500), [Rule::Progress, Rule::Order]);
    }

    /// Its entry has lapsed, and it has another one, behind the writer's.
    #[test]
    fn who_was_paused_for_long_is_behind_those_who_came_by_then() {
        let history = |writer: u64| {
            let read = two_workers().invokes_in(0, "b", 1, Shared).holds(10, 20_000, "b", 1, 5);
            let waits = read.invokes(writer, "b", 2).holds(20_010, 20_020, "b", 2, 6);
            let paused = waits.invokes_in(1_000, "a", 1, Shared).stalls(1_100, 5_000, "a");
            paused.holds(20_030, 20_040, "a", 1, 7).violated()
        };
        assert_eq!(history(4_500), []);
        assert_eq!(history(11_000), [Rule::Progress]);
    }

    #[test]
    fn a_fault_explains_why_a_reader_waits_beside_readers() {
        let history = |scope| {
            let read = two_workers().invokes_in(0, "a", 1, Shared).holds(10, 9_000, "a", 1, 5);
            let waits = read.invokes_in(100, "b", 1, Shared).holds(4_000, 4_010, "b", 1, 6);
            waits.fault(90, 2_000, scope).violated()
        };
        assert_eq!(history(Scope::Store), []);
        assert_eq!(history(Scope::Worker("c".into())), [Rule::Progress]);
    }
}
