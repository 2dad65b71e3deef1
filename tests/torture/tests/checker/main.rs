//! The checker on histories made up by hand: each rule rejects what breaks it, and lets pass what only looks so.

#![expect(clippy::print_stdout, reason = "why a history was rejected, for whoever looks at a failed test")]

mod tale;

use locks_torture::checker::Rule;
use locks_torture::history::{Ending, Outcome, Scope, Wait};
use tale::{Tale, tale};

mod store {
    use super::{Rule, tale};

    #[test]
    fn members_that_disagree_are_rejected() {
        let story = || tale().asks(0, "a", 1).holds(10, 100, "a", 1, 5);
        assert_eq!(story().broken(), []);
        assert_eq!(story().disagree(50).broken(), [Rule::Store]);
    }
}

mod exclusion {
    use super::{Ending, Outcome, Rule, Scope, Tale, Wait, tale};

    #[test]
    fn one_after_the_other_is_right() {
        let story = tale().asks(0, "a", 1).holds(10, 100, "a", 1, 5).asks(1, "b", 1).holds(103, 200, "b", 1, 6);
        assert_eq!(story.broken(), []);
    }

    #[test]
    fn two_at_once_are_rejected() {
        let story = tale().asks(0, "a", 1).holds(10, 200, "a", 1, 5).asks(1, "b", 1).holds(199, 300, "b", 1, 6);
        assert_eq!(story.broken(), [Rule::Exclusion]);
    }

    #[test]
    fn a_body_of_a_killed_process_ran_until_its_last_beat() {
        let story = |last| {
            let killed = tale().asks(0, "a", 1).begins(10, "a", 1, 5).beats(last, "a", 1, true).dies(4_000, "a");
            killed.asks(1, "b", 1).holds(3_900, 4_300, "b", 1, 6).fault(3_000, 4_500, Scope::Worker("a".into()))
        };
        assert_eq!(story(3_000).broken(), []);
        assert_eq!(story(3_950).broken(), [Rule::Exclusion]);
    }

    #[test]
    fn a_paused_body_has_one_poll_and_then_must_stop() {
        let paused = || {
            let held = tale().asks(0, "a", 1).begins(10, "a", 1, 5).beats(100, "a", 1, true).stalls(101, 5_000, "a");
            held.asks(1, "b", 1).holds(4_000, 6_000, "b", 1, 6)
        };
        let stops =
            |story: Tale, at| story.ends(at, "a", 1, Ending::Dropped).returns(at, "a", 1, Outcome::Lost).broken();
        assert_eq!(stops(paused(), 5_010), []);
        assert_eq!(stops(paused().beats(5_001, "a", 1, true), 5_010), []);
        assert_eq!(stops(paused().beats(5_001, "a", 1, true).beats(5_005, "a", 1, true), 5_010), [Rule::Exclusion]);
        assert_eq!(stops(paused(), 5_600), [Rule::Exclusion]);
    }

    #[test]
    fn a_pause_excuses_nothing_that_came_before_it() {
        let story = tale().asks(0, "a", 1).begins(10, "a", 1, 5).asks(1, "b", 1).holds(4_000, 6_000, "b", 1, 6);
        let story = story.stalls(4_100, 5_000, "a").ends(5_010, "a", 1, Ending::Dropped);
        assert_eq!(story.returns(5_010, "a", 1, Outcome::Lost).broken(), [Rule::Exclusion]);
    }

    #[test]
    fn a_body_that_cannot_be_stopped_must_know_that_it_holds_nothing() {
        let story = |knows: bool| {
            let blocking = tale().asks_as(0, "a", 1, Wait::Forever, false).begins(10, "a", 1, 5);
            let overrun = blocking.beats(100, "a", 1, true).beats(4_500, "a", 1, !knows);
            let other = overrun.asks(1, "b", 1).holds(4_000, 5_000, "b", 1, 6);
            other.ends(6_000, "a", 1, Ending::Done).returns(6_010, "a", 1, Outcome::Ran).broken()
        };
        assert_eq!(story(true), []);
        assert_eq!(story(false), [Rule::Exclusion]);
    }

    #[test]
    fn what_is_taken_away_is_noticed_by_the_deadline() {
        let story = |end| {
            let held = tale().asks(0, "a", 1).begins(10, "a", 1, 5).ends(end, "a", 1, Ending::Dropped);
            let taken = held.returns(end, "a", 1, Outcome::Lost).fault(500, 510, Scope::Revocation("a".into()));
            taken.asks(1, "b", 1).holds(520, 6_000, "b", 1, 6).broken()
        };
        assert_eq!(story(3_000), []);
        assert_eq!(story(4_100), [Rule::Exclusion]);
    }

    #[test]
    fn what_was_granted_before_it_was_taken_away_may_begin_after() {
        let story = |begun| {
            let taken = tale().asks(0, "a", 1).holds(begun, begun + 10, "a", 1, 5).asks(1, "b", 1);
            taken.holds(520, 3_000, "b", 1, 6).fault(500, 510, Scope::Revocation("a".into())).broken()
        };
        assert_eq!(story(530), []);
        assert_eq!(story(1_100), [Rule::Exclusion, Rule::Fences]);
    }

    #[test]
    fn what_is_taken_from_another_excuses_nothing() {
        let held = tale().asks(0, "a", 1).holds(10, 700, "a", 1, 5).fault(500, 510, Scope::Revocation("b".into()));
        assert_eq!(held.asks(1, "b", 1).holds(520, 600, "b", 1, 6).broken(), [Rule::Exclusion]);
    }
}

mod fences {
    use super::{Ending, Outcome, Rule, tale};

    #[test]
    fn one_that_does_not_grow_is_rejected() {
        for fence in [4, 5] {
            let story = tale().asks(0, "a", 1).holds(10, 100, "a", 1, 5).asks(1, "b", 1).holds(103, 200, "b", 1, fence);
            assert_eq!(story.broken(), [Rule::Fences]);
        }
    }

    #[test]
    fn one_that_comes_late_after_a_pause_is_the_old_one() {
        let story = tale().asks(0, "a", 1).stalls(5, 5_000, "a").asks(1, "b", 1).holds(4_000, 6_000, "b", 1, 6);
        let story = story.begins(5_001, "a", 1, 5).ends(5_002, "a", 1, Ending::Dropped);
        assert_eq!(story.returns(5_003, "a", 1, Outcome::Lost).broken(), []);
    }
}

mod register {
    use super::{Rule, tale};

    #[test]
    fn a_late_write_is_refused() {
        let story = tale().asks(0, "a", 1).holds(10, 100, "a", 1, 5).asks(1, "b", 1).holds(103, 200, "b", 1, 6);
        let story = story.writes(20, 30, 5, 0, true).writes(110, 120, 6, 5, true).writes(90, 150, 5, 6, false);
        assert_eq!(story.broken(), []);
    }

    #[test]
    fn a_late_write_that_is_accepted_is_rejected() {
        let story = tale().asks(0, "a", 1).holds(10, 100, "a", 1, 5).asks(1, "b", 1).holds(103, 200, "b", 1, 6);
        let story = story.writes(20, 30, 5, 0, true).writes(110, 120, 6, 5, true).writes(90, 150, 5, 6, true);
        assert_eq!(story.broken(), [Rule::Register]);
    }

    #[test]
    fn writes_at_the_same_time_may_have_come_in_any_order() {
        let story = tale().writes(20, 100, 5, 6, false).writes(30, 90, 6, 4, true).writes(10, 110, 4, 0, true);
        assert_eq!(story.broken(), []);
    }

    #[test]
    fn a_lost_write_is_rejected() {
        let story = tale().writes(20, 30, 5, 0, true).writes(40, 50, 6, 0, true);
        assert_eq!(story.broken(), [Rule::Register]);
    }
}

mod holder {
    use super::{Rule, tale};

    #[test]
    fn who_holds_the_lock_and_is_refused_has_a_fence_that_is_too_low() {
        let story = tale().asks(0, "a", 1).holds(10, 100, "a", 1, 5).writes(1, 2, 7, 0, true);
        assert_eq!(story.writes(20, 30, 5, 7, false).broken(), [Rule::Holder]);
    }
}

mod leftovers {
    use super::{Ending, Rule, Scope, tale};

    #[test]
    fn an_entry_of_a_dead_process_lapses() {
        let story = |last| tale().asks(0, "a", 1).begins(10, "a", 1, 5).dies(100, "a").entry(10, last, 1).broken();
        assert_eq!(story(4_000), []);
        assert_eq!(story(5_500), [Rule::Leftovers]);
    }

    #[test]
    fn a_fault_of_the_store_gives_it_more_time_and_one_of_the_owner_does_not() {
        let story = |scope| {
            let dead = tale().asks(0, "a", 1).begins(10, "a", 1, 5).dies(100, "a").entry(10, 9_000, 1);
            dead.fault(90, 1_500, scope).broken()
        };
        assert_eq!(story(Scope::Store), []);
        assert_eq!(story(Scope::Worker("a".into())), [Rule::Leftovers]);
    }

    #[test]
    fn an_entry_that_no_call_owns_is_rejected() {
        let story = |last| tale().asks(0, "a", 1).holds(10, 100, "a", 1, 5).entry(10, last, 1).broken();
        assert_eq!(story(110), []);
        assert_eq!(story(5_500), [Rule::Leftovers]);
    }

    #[test]
    fn a_long_hold_owns_its_entry() {
        let story = tale().asks(0, "a", 1).begins(10, "a", 1, 5).ends(60_000, "a", 1, Ending::Done);
        let story = story.returns(60_001, "a", 1, locks_torture::history::Outcome::Ran).entry(10, 60_000, 1);
        assert_eq!(story.broken(), []);
    }
}

mod free {
    use super::{Rule, Scope, Tale, tale};

    fn handed_on_at(at: u64) -> Tale {
        tale().asks(0, "a", 1).holds(10, 100, "a", 1, 5).asks(1, "b", 1).holds(at, at + 100, "b", 1, 6)
    }

    #[test]
    fn waiting_for_nothing_is_rejected() {
        assert_eq!(handed_on_at(1_000).broken(), []);
        assert_eq!(handed_on_at(1_700).broken(), [Rule::Free]);
    }

    #[test]
    fn a_fault_explains_it_for_as_long_as_it_lasts_and_a_ttl() {
        assert_eq!(handed_on_at(9_000).fault(90, 2_000, Scope::Store).broken(), []);
        assert_eq!(handed_on_at(12_000).fault(90, 2_000, Scope::Store).broken(), [Rule::Free]);
        assert_eq!(handed_on_at(7_000).fault(90, 2_000, Scope::Worker("a".into())).broken(), []);
        assert_eq!(handed_on_at(7_000).fault(90, 2_000, Scope::Worker("c".into())).broken(), [Rule::Free]);
    }

    #[test]
    fn who_gives_up_has_waited_too() {
        let story = tale().asks_as(0, "a", 1, super::Wait::Millis(2_000), true);
        assert_eq!(story.returns(2_000, "a", 1, super::Outcome::Timeout).broken(), [Rule::Free]);
    }
}

mod order {
    use super::{Rule, Scope, Tale, tale};

    /// `b` holds the lock, `a` asks at 1 s, `b` asks again at `again`, and is served before `a`.
    fn passed(again: u64) -> Tale {
        let story = tale().asks(0, "b", 1).holds(10, 9_000, "b", 1, 5).asks(1_000, "a", 1).asks(again, "b", 2);
        story.holds(9_010, 9_020, "b", 2, 6).holds(9_030, 9_040, "a", 1, 7)
    }

    #[test]
    fn who_comes_later_and_is_served_first_is_rejected() {
        assert_eq!(passed(8_000).broken(), [Rule::Order]);
    }

    #[test]
    fn who_comes_at_about_the_same_time_may_be_first() {
        assert_eq!(passed(1_500).broken(), []);
    }

    #[test]
    fn a_fault_may_cost_the_place_in_line() {
        assert_eq!(passed(8_000).fault(4_000, 5_000, Scope::Worker("a".into())).broken(), []);
        assert_eq!(passed(8_000).fault(4_000, 5_000, Scope::Worker("c".into())).broken(), [Rule::Order]);
    }

    #[test]
    fn a_process_stands_in_line_once() {
        // `a` has two calls: to the others, the second stands in line when the first is through.
        let story = tale().asks(0, "b", 1).holds(10, 9_000, "b", 1, 5).asks(1_000, "a", 1).asks(1_500, "a", 2);
        let story = story.asks(5_000, "b", 2).holds(9_010, 9_020, "a", 1, 6).holds(9_030, 9_040, "b", 2, 7);
        assert_eq!(story.holds(9_050, 9_060, "a", 2, 8).broken(), []);
    }

    #[test]
    fn a_process_may_pass_a_lock_on_among_its_own_but_not_for_long() {
        let story = |then: u64| {
            let held = tale().asks(0, "b", 1).holds(10, 9_000, "b", 1, 5).asks(20, "b", 2).asks(1_000, "a", 1);
            let first = held.holds(9_010, 9_015, "b", 2, 6).asks(8_000, "b", 3);
            first.takes_over(then, then + 5, "b", 3, (6, 1)).holds(then + 20, then + 30, "a", 1, 7).broken()
        };
        assert_eq!(story(9_016), []);
        assert_eq!(story(10_600), [Rule::Free, Rule::Order]);
    }

    #[test]
    fn inside_a_process_each_has_its_own_place() {
        let story = tale().asks(0, "b", 1).holds(10, 9_000, "b", 1, 5).asks(1_000, "a", 1).asks(1_500, "a", 2);
        let story = story.holds(9_010, 9_020, "a", 2, 6).holds(9_030, 9_040, "a", 1, 7);
        assert_eq!(story.broken(), [Rule::Order]);
    }
}

mod endless {
    use super::{Ending, Outcome, Rule, Scope, Wait, tale};

    #[test]
    fn a_call_that_never_ends_is_rejected() {
        let story = || tale().asks(0, "a", 1).begins(1, "a", 1, 5).asks(1, "b", 1);
        assert_eq!(story().broken(), [Rule::Endless]);
        assert_eq!(story().dies(500, "a").dies(500, "b").broken(), []);
    }

    #[test]
    fn a_limit_is_a_limit_but_for_who_gets_no_turn() {
        let story = |to| {
            let held = tale().asks(0, "a", 1).holds(10, 9_000, "a", 1, 5);
            held.asks_as(20, "b", 1, Wait::Millis(100), true).returns(to, "b", 1, Outcome::Timeout)
        };
        assert_eq!(story(300).broken(), []);
        assert_eq!(story(1_800).broken(), [Rule::Endless]);
        assert_eq!(story(1_800).stalls(30, 1_700, "b").broken(), []);
    }

    #[test]
    fn a_try_does_not_wait() {
        let story = tale().asks(0, "a", 1).holds(10, 9_000, "a", 1, 5).asks_as(20, "b", 1, Wait::Never, true);
        assert_eq!(story.returns(8_000, "b", 1, Outcome::Busy).broken(), [Rule::Endless]);
    }

    #[test]
    fn a_release_is_not_waited_for_for_ever() {
        let story = tale().asks(0, "a", 1).begins(10, "a", 1, 5).ends(100, "a", 1, Ending::Done);
        let story = story.fault(50, 9_000, Scope::Store).returns(8_000, "a", 1, Outcome::Ran);
        assert_eq!(story.broken(), [Rule::Endless]);
    }

    #[test]
    fn a_body_with_a_limit_is_stopped_in_time() {
        let story = |most| tale().asks_for(0, "a", 1, most).holds(10, 4_000, "a", 1, 5).broken();
        assert_eq!(story(3_000), []);
        assert_eq!(story(2_000), [Rule::Endless]);
    }
}
