//! Several locks at one moment: all or none, in the body, in the store, and in the order.

use super::builder::{Builder, KEY, two_workers};
use locks_torture::checker::Rule;
use locks_torture::history::{Outcome, Scope};

const OTHER: &str = "/other";
const BOTH: [&str; 2] = [KEY, OTHER];

mod exclusion {
    use super::{BOTH, KEY, OTHER, Rule, two_workers};

    #[test]
    fn each_of_its_locks_is_held_as_long_as_the_body_runs() {
        for key in [KEY, OTHER] {
            let history = |from: u64| {
                let both = two_workers().invokes_several(0, "a", 1, &BOTH).holds_several(10, 1_000, "a", 1, &[5, 6]);
                let one = both.invokes_several(1, "b", 1, &[key]);
                one.holds_several(from, from + 100, "b", 1, &[9]).violated()
            };
            assert_eq!(history(1_003), [], "{key}");
            assert_eq!(history(999), [Rule::Exclusion], "{key}");
        }
    }

    #[test]
    fn a_lock_that_it_does_not_have_is_free() {
        let both = two_workers().invokes_several(0, "a", 1, &BOTH).holds_several(10, 1_000, "a", 1, &[5, 6]);
        let one = both.invokes_several(1, "b", 1, &["/third"]).holds_several(20, 100, "b", 1, &[1]);
        assert_eq!(one.violated(), []);
    }

    #[test]
    fn each_lock_has_fences_of_its_own() {
        let history = |grants: [u64; 2]| {
            let both = two_workers().invokes_several(0, "a", 1, &BOTH).holds_several(10, 100, "a", 1, &[5, 60]);
            // The other order of the keys.
            let again = both.invokes_several(1, "b", 1, &[OTHER, KEY]);
            again.holds_several(110, 200, "b", 1, &grants).violated()
        };
        assert_eq!(history([61, 6]), []);
        assert_eq!(history([6, 61]), [Rule::Fences]);
    }
}

mod together {
    use super::{BOTH, Builder, KEY, OTHER, Rule, Scope, two_workers};

    #[test]
    fn a_body_without_one_of_its_locks_is_rejected() {
        let history = |grants: &[u64]| {
            let both = two_workers().invokes_several(0, "a", 1, &BOTH);
            both.holds_several(10, 100, "a", 1, grants).violated()
        };
        assert_eq!(history(&[5, 6]), []);
        assert_eq!(history(&[5, 0]), [Rule::Together]);
        assert_eq!(history(&[5]), [Rule::Together]);
    }

    /// `a` is in the line of the first lock in one time, and in that of the second in another.
    fn in_store(first: (u64, u64), second: (u64, u64), requests: [&str; 2]) -> Builder {
        let waits = two_workers().invokes_several(0, "a", 1, &BOTH).holds_several(9_000, 9_500, "a", 1, &[5, 6]);
        let held = waits.invokes_several(0, "b", 1, &BOTH).holds_several(10, 8_990, "b", 1, &[3, 4]);
        let entry = |history: Builder, (from, to), key, request| history.entry_of(from, to, 1, key, Some(request));
        entry(entry(held, first, KEY, requests[0]), second, OTHER, requests[1])
    }

    #[test]
    fn a_request_is_in_the_lines_of_all_its_locks_or_of_none() {
        let same = ["1-7", "1-7"];
        assert_eq!(in_store((10, 9_500), (110, 9_400), same).violated(), []);
        assert_eq!(in_store((10, 9_500), (3_000, 9_500), same).violated(), [Rule::Together], "one after another");
        assert_eq!(in_store((10, 9_500), (10, 6_000), same).violated(), [Rule::Together], "not released together");
        assert_eq!(in_store((10, 9_500), (3_000, 9_500), ["1-7", "1-8"]).violated(), [], "two requests");
    }

    /// As when a snapshot is restored.
    #[test]
    fn a_request_that_comes_back_with_all_its_locks_was_never_in_half_of_them() {
        let again = |second: u64| {
            let before = in_store((10, 2_000), (10, 2_000), ["1-7", "1-7"]);
            let first = before.entry_of(7_000, 9_500, 1, KEY, Some("1-7"));
            first.entry_of(second, 9_500, 1, OTHER, Some("1-7")).violated()
        };
        assert_eq!(again(7_000), []);
        assert_eq!(again(9_400), [Rule::Together]);
    }

    #[test]
    fn a_fault_explains_that_one_of_them_is_missing() {
        let missing = |scope| in_store((10, 9_500), (3_000, 9_500), ["1-7", "1-7"]).fault(10, 2_000, scope).violated();
        assert_eq!(missing(Scope::Store), []);
        assert_eq!(missing(Scope::Revocation("a".into())), []);
        assert_eq!(missing(Scope::Revocation("b".into())), [Rule::Together]);
    }
}

mod progress {
    use super::{BOTH, KEY, OTHER, Outcome, Rule, two_workers};

    #[test]
    fn who_waits_for_two_locks_waits_as_long_as_one_is_held() {
        let history = |then: u64| {
            let held = two_workers().invokes_several(0, "b", 1, &[OTHER]).holds_several(10, 4_000, "b", 1, &[5]);
            held.invokes_several(1, "a", 1, &BOTH).holds_several(then, then + 10, "a", 1, &[1, 6]).violated()
        };
        assert_eq!(history(4_010), []);
        assert_eq!(history(5_700), [Rule::Progress]);
    }

    /// `b` holds one lock, `a` waits for both, and `b` waits for the other behind it.
    #[test]
    fn who_is_behind_it_in_a_line_waits_as_long_and_no_longer() {
        let history = |then: u64| {
            let held = two_workers().invokes_several(0, "b", 1, &[OTHER]).holds_several(10, 4_000, "b", 1, &[5]);
            let both = held.invokes_several(1, "a", 1, &BOTH).holds_several(4_010, 4_020, "a", 1, &[1, 6]);
            both.invokes_several(2, "b", 2, &[KEY]).holds_several(then, then + 10, "b", 2, &[2]).violated()
        };
        assert_eq!(history(4_030), []);
        assert_eq!(history(5_700), [Rule::Progress]);
    }

    /// Each has one of them, which nobody sees, and waits for the other: nobody ever holds any.
    #[test]
    fn a_circle_keeps_no_lock_busy() {
        let history = |held_until: u64| {
            let held = two_workers().invokes_several(0, "b", 1, &BOTH).holds_several(10, held_until, "b", 1, &[3, 4]);
            let first = held.invokes_several(1, "a", 2, &BOTH).returns(3_000, "a", 2, Outcome::Abandoned);
            let second = first.invokes_several(2, "b", 2, &[OTHER, KEY]);
            second.returns(3_000, "b", 2, Outcome::Abandoned).violated()
        };
        assert_eq!(history(2_900), []);
        assert_eq!(history(1_000), [Rule::Progress]);
    }

    #[test]
    fn a_lock_that_is_not_released_with_the_others_is_waited_for() {
        let history = |then: u64| {
            let both = two_workers().invokes_several(0, "a", 1, &BOTH).holds_several(10, 1_000, "a", 1, &[5, 6]);
            let first = both.invokes_several(1, "b", 1, &[KEY]).holds_several(1_010, 1_020, "b", 1, &[7]);
            first.invokes_several(2, "b", 2, &[OTHER]).holds_several(then, then + 10, "b", 2, &[8]).violated()
        };
        assert_eq!(history(1_100), []);
        assert_eq!(history(2_600), [Rule::Progress]);
    }
}

mod order {
    use super::{BOTH, KEY, OTHER, Rule, two_workers};

    /// `b` holds the one lock, `a` waits for both, and `b` requests the other one after it.
    #[test]
    fn it_is_kept_in_each_line() {
        let history = |again: u64, begins: u64| {
            let held = two_workers().invokes_several(0, "b", 1, &[OTHER]).holds_several(10, 9_000, "b", 1, &[5]);
            let both = held.invokes_several(1_000, "a", 1, &BOTH).holds_several(9_010, 9_020, "a", 1, &[7, 6]);
            let (to, grant) = if begins < 9_000 { (begins + 10, 2) } else { (begins + 10, 8) };
            both.invokes_several(again, "b", 2, &[KEY]).holds_several(begins, to, "b", 2, &[grant]).violated()
        };
        assert_eq!(history(8_000, 9_030), []);
        assert_eq!(history(8_000, 8_010), [Rule::Order]);
        assert_eq!(history(1_100, 1_110), []);
    }

    /// A process is in the store's line only when its own calls before it are over, in whichever of the lines.
    #[test]
    fn a_process_waits_in_its_own_lines_first() {
        let history = |key| {
            let held = two_workers().invokes_several(0, "a", 1, &[key]).holds_several(10, 9_000, "a", 1, &[5]);
            let both = held.invokes_several(1_000, "a", 2, &BOTH).holds_several(9_030, 9_040, "a", 2, &[8, 9]);
            both.invokes_several(4_000, "b", 1, &[KEY]).holds_several(9_010, 9_020, "b", 1, &[6])
        };
        assert_eq!(history(OTHER).violated(), []);
        assert_eq!(history("/third").violated(), [Rule::Progress, Rule::Order]);
    }
}

mod outcomes {
    use super::{BOTH, KEY, OTHER, Rule, Scope, two_workers};
    use locks_torture::history::Outcome;

    #[test]
    fn a_loss_of_one_of_them_is_a_loss_of_all_and_is_told_once() {
        let history = |lock: &str| {
            let both = two_workers().invokes_several(0, "a", 1, &BOTH);
            both.returns(100, "a", 1, Outcome::Lost).fault(50, 60, Scope::Lock(lock.into())).violated()
        };
        assert_eq!(history(KEY), []);
        assert_eq!(history(OTHER), []);
        assert_eq!(history("/third"), [Rule::Outcome]);
    }
}
