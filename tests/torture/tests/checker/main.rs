//! The checker on made-up histories: each rule rejects what breaks it, and accepts what only looks so.

#![expect(clippy::print_stdout, reason = "a failed test shows the violations")]

mod builder;
mod exchanged;
mod foreign;
mod modes;
mod options;
mod processes;
mod several;
mod stores;

use builder::{Builder, two_workers};
use locks_torture::checker::Rule;
use locks_torture::history::{Ending, EventKind, Outcome, Promises, Scope, Wait};

mod store {
    use super::{Rule, two_workers};

    #[test]
    fn members_with_different_contents_are_rejected() {
        let history = || two_workers().invokes(0, "a", 1).holds(10, 100, "a", 1, 5);
        assert_eq!(history().violated(), []);
        assert_eq!(history().members_differ(50).violated(), [Rule::Store]);
    }
}

mod exclusion {
    use super::{Builder, Ending, Outcome, Rule, Scope, Wait, two_workers};

    #[test]
    fn one_after_the_other_is_accepted() {
        let history =
            two_workers().invokes(0, "a", 1).holds(10, 100, "a", 1, 5).invokes(1, "b", 1).holds(103, 200, "b", 1, 6);
        assert_eq!(history.violated(), []);
    }

    #[test]
    fn two_at_once_are_rejected() {
        let history =
            two_workers().invokes(0, "a", 1).holds(10, 200, "a", 1, 5).invokes(1, "b", 1).holds(199, 300, "b", 1, 6);
        assert_eq!(history.violated(), [Rule::Exclusion]);
    }

    #[test]
    fn a_body_of_a_killed_process_ran_until_its_last_beat() {
        let history = |last| {
            let killed =
                two_workers().invokes(0, "a", 1).starts(10, "a", 1, 5).beats(last, "a", 1, true).dies(4_000, "a");
            killed.invokes(1, "b", 1).holds(3_900, 4_300, "b", 1, 6).fault(3_000, 4_500, Scope::Worker("a".into()))
        };
        assert_eq!(history(3_000).violated(), []);
        assert_eq!(history(3_950).violated(), [Rule::Exclusion]);
    }

    #[test]
    fn a_paused_body_may_be_polled_once_and_then_must_stop() {
        let paused = || {
            let held =
                two_workers().invokes(0, "a", 1).starts(10, "a", 1, 5).beats(100, "a", 1, true).stalls(101, 5_000, "a");
            held.invokes(1, "b", 1).holds(4_000, 6_000, "b", 1, 6)
        };
        let stops = |history: Builder, at| {
            history.finishes(at, "a", 1, Ending::Dropped).returns(at, "a", 1, Outcome::Lost).violated()
        };
        assert_eq!(stops(paused(), 5_010), []);
        assert_eq!(stops(paused().beats(5_001, "a", 1, true), 5_010), []);
        assert_eq!(stops(paused().beats(5_001, "a", 1, true).beats(5_005, "a", 1, true), 5_010), [Rule::Exclusion]);
        assert_eq!(stops(paused(), 5_600), [Rule::Exclusion]);
    }

    #[test]
    fn a_pause_excuses_nothing_that_came_before_it() {
        let history =
            two_workers().invokes(0, "a", 1).starts(10, "a", 1, 5).invokes(1, "b", 1).holds(4_000, 6_000, "b", 1, 6);
        let history = history.stalls(4_100, 5_000, "a").finishes(5_010, "a", 1, Ending::Dropped);
        assert_eq!(history.returns(5_010, "a", 1, Outcome::Lost).violated(), [Rule::Exclusion]);
    }

    #[test]
    fn a_body_that_cannot_be_stopped_must_learn_that_it_does_not_hold_the_lock() {
        let history = |learns: bool| {
            let blocking = two_workers().invokes_with(0, "a", 1, Wait::Forever, false).starts(10, "a", 1, 5);
            let overrun = blocking.beats(100, "a", 1, true).beats(4_500, "a", 1, !learns);
            let other = overrun.invokes(1, "b", 1).holds(4_000, 5_000, "b", 1, 6);
            other.finishes(6_000, "a", 1, Ending::Done).returns(6_010, "a", 1, Outcome::Ran).violated()
        };
        assert_eq!(history(true), []);
        assert_eq!(history(false), [Rule::Exclusion]);
    }

    /// Its process is paused, and its runtime blocked as soon as it is resumed. In the poll that comes then it is seen twice.
    #[test]
    fn one_poll_is_allowed_after_pauses_that_follow_each_other() {
        let history = |again, seen| {
            let held = two_workers().invokes(0, "a", 1).starts(10, "a", 1, 5).stalls(100, 5_000, "a");
            let blocked = held.stalls(again, 9_000, "a").beats(9_001, "a", 1, false).beats(seen, "a", 1, false);
            let ended = blocked.finishes(9_050, "a", 1, Ending::Dropped).returns(9_051, "a", 1, Outcome::Lost);
            let cut = ended.fault(100, 5_000, Scope::Worker("a".into()));
            cut.invokes(1, "b", 1).holds(4_000, 4_100, "b", 1, 6).violated()
        };
        assert_eq!(history(5_001, 9_001), []);
        assert_eq!(history(5_001, 9_040), [Rule::Exclusion], "polled twice");
        assert_eq!(history(6_000, 9_001), [Rule::Exclusion], "it ran for a second in between");
    }

    #[test]
    fn a_revocation_is_noticed_by_the_deadline() {
        let history = |end| {
            let held = two_workers().invokes(0, "a", 1).starts(10, "a", 1, 5).finishes(end, "a", 1, Ending::Dropped);
            let taken = held.returns(end, "a", 1, Outcome::Lost).fault(500, 510, Scope::Revocation("a".into()));
            taken.invokes(1, "b", 1).holds(520, 6_000, "b", 1, 6).violated()
        };
        assert_eq!(history(3_000), []);
        assert_eq!(history(4_100), [Rule::Exclusion]);
    }

    #[test]
    fn who_is_not_scheduled_by_the_deadline_notices_it_after_that() {
        let history = |stalled, end| {
            let held = two_workers().invokes(0, "a", 1).starts(10, "a", 1, 5).finishes(end, "a", 1, Ending::Dropped);
            let taken = held.returns(end, "a", 1, Outcome::Lost).fault(500, 510, Scope::Revocation("a".into()));
            taken.stalls(stalled, 5_000, "a").invokes(1, "b", 1).holds(520, 6_000, "b", 1, 6).violated()
        };
        assert_eq!(history(3_400, 5_100), []);
        assert_eq!(history(3_400, 5_700), [Rule::Exclusion]);
        assert_eq!(history(4_500, 5_100), [Rule::Exclusion]);
    }

    #[test]
    fn a_hold_that_was_granted_before_the_revocation_may_begin_after_it() {
        let history = |begun| {
            let taken = two_workers().invokes(0, "a", 1).holds(begun, begun + 10, "a", 1, 5).invokes(1, "b", 1);
            taken.holds(520, 3_000, "b", 1, 6).fault(500, 510, Scope::Revocation("a".into())).violated()
        };
        assert_eq!(history(530), []);
        assert_eq!(history(1_100), [Rule::Exclusion, Rule::Fences]);
    }

    #[test]
    fn a_pause_over_the_revocation_delays_the_body_too() {
        let history = |begun| {
            let held = two_workers().invokes(0, "a", 1).starts(begun, "a", 1, 5).beats(begun + 50, "a", 1, true);
            let held = held.beats(begun + 90, "a", 1, true).finishes(begun + 100, "a", 1, Ending::Dropped);
            let taken = held.returns(begun + 110, "a", 1, Outcome::Lost).stalls(490, 1_500, "a");
            let taken = taken.fault(500, 510, Scope::Revocation("a".into())).invokes(1, "b", 1);
            taken.holds(520, 2_500, "b", 1, 6).violated()
        };
        assert_eq!(history(1_505), []);
        assert_eq!(history(2_100), [Rule::Exclusion, Rule::Fences]);
    }

    /// It had proposed the revocation before it knew that it leads no more.
    #[test]
    fn an_old_leader_may_revoke_for_as_long_as_its_proposals_last() {
        let history = |taken: u64, end| {
            let held = two_workers().invokes(0, "a", 1).starts(10, "a", 1, 5).finishes(end, "a", 1, Ending::Dropped);
            let held = held.returns(end, "a", 1, Outcome::Lost).fault(1_000, 2_000, Scope::OldLeader);
            held.invokes(1, "b", 1).holds(taken, end + 1_000, "b", 1, 6).violated()
        };
        assert_eq!(history(8_000, 11_000), []);
        assert_eq!(history(8_000, 13_000), [Rule::Exclusion]);
    }

    #[test]
    fn a_revocation_of_another_process_excuses_nothing() {
        let held =
            two_workers().invokes(0, "a", 1).holds(10, 700, "a", 1, 5).fault(500, 510, Scope::Revocation("b".into()));
        assert_eq!(held.invokes(1, "b", 1).holds(520, 600, "b", 1, 6).violated(), [Rule::Exclusion]);
    }
}

mod fences {
    use super::{Ending, Outcome, Rule, two_workers};

    #[test]
    fn a_fence_that_does_not_grow_is_rejected() {
        for fence in [4, 5] {
            let history = two_workers()
                .invokes(0, "a", 1)
                .holds(10, 100, "a", 1, 5)
                .invokes(1, "b", 1)
                .holds(103, 200, "b", 1, fence);
            assert_eq!(history.violated(), [Rule::Fences]);
        }
    }

    #[test]
    fn a_body_that_begins_late_after_a_pause_may_have_an_older_fence() {
        let history =
            two_workers().invokes(0, "a", 1).stalls(5, 5_000, "a").invokes(1, "b", 1).holds(4_000, 6_000, "b", 1, 6);
        let history = history.starts(5_001, "a", 1, 5).finishes(5_002, "a", 1, Ending::Dropped);
        assert_eq!(history.returns(5_003, "a", 1, Outcome::Lost).violated(), []);
    }
}

mod register {
    use super::{Rule, two_workers};

    #[test]
    fn a_late_write_is_refused() {
        let history =
            two_workers().invokes(0, "a", 1).holds(10, 100, "a", 1, 5).invokes(1, "b", 1).holds(103, 200, "b", 1, 6);
        let history = history.writes(20, 30, 5, 0, true).writes(110, 120, 6, 5, true).writes(90, 150, 5, 6, false);
        assert_eq!(history.violated(), []);
    }

    #[test]
    fn a_late_write_that_is_accepted_is_rejected() {
        let history =
            two_workers().invokes(0, "a", 1).holds(10, 100, "a", 1, 5).invokes(1, "b", 1).holds(103, 200, "b", 1, 6);
        let history = history.writes(20, 30, 5, 0, true).writes(110, 120, 6, 5, true).writes(90, 150, 5, 6, true);
        assert_eq!(history.violated(), [Rule::Register]);
    }

    #[test]
    fn writes_at_the_same_time_may_have_come_in_any_order() {
        let history = two_workers().writes(20, 100, 5, 6, false).writes(30, 90, 6, 4, true).writes(10, 110, 4, 0, true);
        assert_eq!(history.violated(), []);
    }

    /// Each of them may have come at any moment: trying every order of them would take for ever.
    #[test]
    fn many_refused_writes_at_the_same_time_are_soon_judged() {
        let many = |previous| {
            let history = two_workers().writes(1, 2, 99, 0, true).writes(500, 510, 100, 99, true);
            (0..40)
                .fold(history, |history, write| history.writes(10 + write, 600 + write, 3, previous, false))
                .violated()
        };
        assert_eq!(many(99), []);
        assert_eq!(many(100), []);
        assert_eq!(many(98), [Rule::Register]);
    }

    #[test]
    fn a_lost_write_is_rejected() {
        let history = two_workers().writes(20, 30, 5, 0, true).writes(40, 50, 6, 0, true);
        assert_eq!(history.violated(), [Rule::Register]);
    }
}

mod holder {
    use super::{Rule, two_workers};

    #[test]
    fn a_holder_whose_write_is_refused_has_too_small_a_fence() {
        let history = two_workers().invokes(0, "a", 1).holds(10, 100, "a", 1, 5).writes(1, 2, 7, 0, true);
        assert_eq!(history.writes(20, 30, 5, 7, false).violated(), [Rule::Holder]);
    }
}

mod orphans {
    use super::{Ending, EventKind, Outcome, Promises, Rule, Scope, two_workers};
    use locks_torture::history::Options;

    #[test]
    fn an_entry_of_a_dead_process_lapses() {
        let history =
            |last| two_workers().invokes(0, "a", 1).starts(10, "a", 1, 5).dies(100, "a").entry(10, last, 1).violated();
        assert_eq!(history(4_000), []);
        assert_eq!(history(5_500), [Rule::Orphans]);
    }

    #[test]
    fn an_entry_is_that_of_the_last_process_with_its_number() {
        let history = |number| {
            let dead = two_workers().dies(100, "a");
            let promises = Promises { fencing: true, queue_order: true };
            let next = dead.event(5_000, "c", EventKind::WorkerStarted { pid: number, promises });
            next.invokes(5_001, "c", 1).holds(5_010, 12_000, "c", 1, 5).entry(5_005, 12_000, 1).violated()
        };
        assert_eq!(history(1), []);
        assert_eq!(history(7), [Rule::Orphans]);
    }

    #[test]
    fn a_fault_of_the_store_gives_it_more_time_and_one_of_the_owner_does_not() {
        let history = |scope| {
            let dead = two_workers().invokes(0, "a", 1).starts(10, "a", 1, 5).dies(100, "a").entry(10, 9_000, 1);
            dead.fault(90, 1_500, scope).violated()
        };
        assert_eq!(history(Scope::Store), []);
        assert_eq!(history(Scope::Worker("a".into())), [Rule::Orphans]);
    }

    /// Its network was cut off when it died, and delivered the request when that was over.
    #[test]
    fn an_entry_that_comes_after_the_death_of_its_owner_lasts_for_its_own_ttl() {
        let history = |gone| {
            let options = Options { ttl_ms: Some(6_000), ..Options::default() };
            let waits = two_workers().invokes_as(0, "a", 1, options, true);
            waits.dies(1_000, "a").entry(4_500, gone, 1).violated()
        };
        assert_eq!(history(12_000), []);
        assert_eq!(history(13_000), [Rule::Orphans]);
    }

    /// It could not release what it had, and then it died.
    #[test]
    fn a_fault_of_a_dead_owner_explains_its_entry_until_its_death() {
        let history = |gone| {
            let held = two_workers().invokes(0, "a", 1).starts(10, "a", 1, 5).finishes(100, "a", 1, Ending::Done);
            let released = held.returns(102, "a", 1, Outcome::Ran).fault(90, 4_000, Scope::Worker("a".into()));
            released.dies(4_000, "a").entry(10, gone, 1).violated()
        };
        assert_eq!(history(8_500), []);
        assert_eq!(history(9_500), [Rule::Orphans]);
    }

    #[test]
    fn an_entry_that_no_call_owns_is_rejected() {
        let history = |last| two_workers().invokes(0, "a", 1).holds(10, 100, "a", 1, 5).entry(10, last, 1).violated();
        assert_eq!(history(110), []);
        assert_eq!(history(5_500), [Rule::Orphans]);
    }

    #[test]
    fn a_long_hold_owns_its_entry() {
        let history = two_workers().invokes(0, "a", 1).starts(10, "a", 1, 5).finishes(60_000, "a", 1, Ending::Done);
        let history = history.returns(60_001, "a", 1, Outcome::Ran).entry(10, 60_000, 1);
        assert_eq!(history.violated(), []);
    }
}

mod progress {
    use super::{Builder, Outcome, Rule, Scope, Wait, two_workers};

    fn next_holds_at(at: u64) -> Builder {
        two_workers().invokes(0, "a", 1).holds(10, 100, "a", 1, 5).invokes(1, "b", 1).holds(at, at + 100, "b", 1, 6)
    }

    #[test]
    fn waiting_for_a_free_lock_is_rejected() {
        assert_eq!(next_holds_at(1_000).violated(), []);
        assert_eq!(next_holds_at(1_700).violated(), [Rule::Progress]);
    }

    #[test]
    fn a_fault_explains_it_while_it_is_in_effect_and_for_a_ttl() {
        assert_eq!(next_holds_at(9_000).fault(90, 2_000, Scope::Store).violated(), []);
        assert_eq!(next_holds_at(12_000).fault(90, 2_000, Scope::Store).violated(), [Rule::Progress]);
        assert_eq!(next_holds_at(7_000).fault(90, 2_000, Scope::Worker("a".into())).violated(), []);
        assert_eq!(next_holds_at(7_000).fault(90, 2_000, Scope::Worker("c".into())).violated(), [Rule::Progress]);
    }

    #[test]
    fn a_store_that_does_not_answer_the_observer_explains_it_too() {
        assert_eq!(next_holds_at(6_000).silence(100, 1_500).violated(), []);
        assert_eq!(next_holds_at(12_000).silence(100, 1_500).violated(), [Rule::Progress]);
    }

    /// It may still ask who holds the lock, so as to say so.
    #[test]
    fn a_call_whose_time_is_up_does_not_wait_any_more() {
        let history = |limit| {
            let held = two_workers().invokes(0, "b", 1).holds(10, 2_900, "b", 1, 5);
            let waits = held.invokes_with(1_000, "a", 1, Wait::Millis(limit), true).queued(1_000, "a", 1);
            waits.returns(4_450, "a", 1, Outcome::Timeout).violated()
        };
        assert_eq!(history(2_000), []);
        assert_eq!(history(3_450), [Rule::Progress]);
    }

    #[test]
    fn a_call_that_times_out_has_waited_too() {
        let history = two_workers().invokes_with(0, "a", 1, Wait::Millis(2_000), true);
        assert_eq!(history.returns(2_000, "a", 1, Outcome::Timeout).violated(), [Rule::Progress]);
    }
}

mod order {
    use super::{Builder, Outcome, Rule, Scope, Wait, two_workers};

    /// `b` holds the lock, `a` requests it at 1 s and `b` again at `again`, and `b` gets it first.
    fn overtaken(again: u64) -> Builder {
        let history =
            two_workers().invokes(0, "b", 1).holds(10, 9_000, "b", 1, 5).invokes(1_000, "a", 1).invokes(again, "b", 2);
        history.holds(9_010, 9_020, "b", 2, 6).holds(9_030, 9_040, "a", 1, 7)
    }

    #[test]
    fn overtaking_is_rejected() {
        assert_eq!(overtaken(8_000).violated(), [Rule::Order]);
    }

    #[test]
    fn requests_at_about_the_same_time_may_be_served_in_any_order() {
        assert_eq!(overtaken(1_500).violated(), []);
    }

    #[test]
    fn a_call_that_was_dropped_may_be_recorded_a_moment_later() {
        let history = |recorded| {
            let first = two_workers().invokes(0, "b", 1).holds(10, 9_000, "b", 1, 5).invokes(1_000, "a", 1);
            let later = first.invokes(8_000, "b", 2).holds(9_010, 9_020, "b", 2, 6);
            later.returns(recorded, "a", 1, Outcome::Abandoned).violated()
        };
        assert_eq!(history(9_011), []);
        assert!(history(10_600).contains(&Rule::Order));
    }

    #[test]
    fn a_fault_may_cost_the_position_in_the_queue() {
        assert_eq!(overtaken(8_000).fault(4_000, 5_000, Scope::Worker("a".into())).violated(), []);
        assert_eq!(overtaken(8_000).fault(4_000, 5_000, Scope::Worker("c".into())).violated(), [Rule::Order]);
    }

    #[test]
    fn a_process_has_one_entry_in_the_queue_at_a_time() {
        // `a` has two calls: for other processes, the second is in the queue when the first has ended.
        let history =
            two_workers().invokes(0, "b", 1).holds(10, 9_000, "b", 1, 5).invokes(1_000, "a", 1).invokes(1_500, "a", 2);
        let history = history.invokes(5_000, "b", 2).holds(9_010, 9_020, "a", 1, 6).holds(9_030, 9_040, "b", 2, 7);
        assert_eq!(history.holds(9_050, 9_060, "a", 2, 8).violated(), []);
    }

    #[test]
    fn tasks_that_call_at_one_moment_may_be_in_the_queue_in_another_order() {
        let history = |queued| {
            let held = two_workers().invokes(0, "b", 1).holds(10, 9_000, "b", 1, 5);
            let first = held.invokes_with(1_000, "a", 1, Wait::Forever, true).queued(queued, "a", 1);
            let second = first.invokes(1_001, "a", 2).invokes(5_000, "b", 2).holds(9_010, 9_020, "a", 2, 6);
            second.holds(9_030, 9_040, "b", 2, 7).holds(9_050, 9_060, "a", 1, 8).violated()
        };
        assert_eq!(history(1_002), []);
        assert_eq!(history(1_000), [Rule::Order]);
    }

    #[test]
    fn a_process_may_hand_a_lock_off_among_its_calls_but_not_for_long() {
        let history = |then: u64| {
            let held =
                two_workers().invokes(0, "b", 1).holds(10, 9_000, "b", 1, 5).invokes(20, "b", 2).invokes(1_000, "a", 1);
            let first = held.holds(9_010, 9_015, "b", 2, 6).invokes(8_000, "b", 3);
            first.holds_handed_off(then, then + 5, "b", 3, (6, 1)).holds(then + 20, then + 30, "a", 1, 7).violated()
        };
        assert_eq!(history(9_016), []);
        assert_eq!(history(10_600), [Rule::Progress, Rule::Order]);
    }

    /// `a` requests the lock at 1 s, its second call at 1.01 s, and the second one gets it first.
    fn overtaken_inside(queued: Option<u64>) -> Vec<Rule> {
        let held = two_workers().invokes(0, "b", 1).holds(10, 9_000, "b", 1, 5);
        let first = held.invokes_with(1_000, "a", 1, Wait::Forever, true);
        let first = if let Some(at) = queued { first.queued(at, "a", 1) } else { first };
        let second = first.invokes(1_010, "a", 2).holds(9_010, 9_020, "a", 2, 6);
        second.holds(9_030, 9_040, "a", 1, 7).violated()
    }

    #[test]
    fn inside_a_process_each_call_has_its_own_position() {
        assert_eq!(overtaken_inside(Some(1_005)), [Rule::Order]);
    }

    #[test]
    fn a_call_whose_time_is_up_has_left_the_queue() {
        let history = |limit| {
            let held = two_workers().invokes(0, "b", 1).holds(10, 3_490, "b", 1, 5);
            let first = held.invokes_with(1_000, "a", 1, Wait::Millis(limit), true).queued(1_000, "a", 1);
            let second = first.invokes(1_200, "a", 2).holds(3_500, 3_950, "a", 2, 6);
            second.returns(4_000, "a", 1, Outcome::Timeout).violated()
        };
        assert_eq!(history(2_000), []);
        assert_eq!(history(3_000), [Rule::Order]);
    }

    #[test]
    fn calls_that_are_queued_at_the_same_time_may_be_in_either_order() {
        assert_eq!(overtaken_inside(Some(1_015)), []);
        assert_eq!(overtaken_inside(None), []);
    }
}

mod termination {
    use super::{Ending, Outcome, Rule, Scope, Wait, two_workers};

    #[test]
    fn a_call_that_never_ends_is_rejected() {
        let history = || two_workers().invokes(0, "a", 1).starts(1, "a", 1, 5).invokes(1, "b", 1);
        assert_eq!(history().violated(), [Rule::Termination]);
        assert_eq!(history().dies(500, "a").dies(500, "b").violated(), []);
    }

    #[test]
    fn a_call_may_exceed_its_limit_only_while_its_process_is_stalled() {
        let history = |to| {
            let held = two_workers().invokes(0, "a", 1).holds(10, 9_000, "a", 1, 5);
            held.invokes_with(20, "b", 1, Wait::Millis(100), true).returns(to, "b", 1, Outcome::Timeout)
        };
        assert_eq!(history(300).violated(), []);
        assert_eq!(history(1_800).violated(), [Rule::Termination]);
        assert_eq!(history(1_800).stalls(30, 1_700, "b").violated(), []);
    }

    #[test]
    fn a_try_does_not_wait() {
        let history =
            two_workers().invokes(0, "a", 1).holds(10, 9_000, "a", 1, 5).invokes_with(20, "b", 1, Wait::Never, true);
        assert_eq!(history.returns(8_000, "b", 1, Outcome::Busy).violated(), [Rule::Termination]);
    }

    #[test]
    fn a_release_that_takes_too_long_is_rejected() {
        let history = two_workers().invokes(0, "a", 1).starts(10, "a", 1, 5).finishes(100, "a", 1, Ending::Done);
        let history = history.fault(50, 9_000, Scope::Store).returns(8_000, "a", 1, Outcome::Ran);
        assert_eq!(history.violated(), [Rule::Termination]);
    }

    #[test]
    fn a_body_with_a_limit_is_stopped_in_time() {
        let history = |limit| two_workers().invokes_limited(0, "a", 1, limit).holds(10, 4_000, "a", 1, 5).violated();
        assert_eq!(history(3_000), []);
        assert_eq!(history(2_000), [Rule::Termination]);
    }
}
