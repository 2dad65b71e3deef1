//! What becomes of a row: who holds the lock after a change, and who waits for it. By the row alone, so that it can be tried out
//! without a server; [`change`](super::change) writes it, if the row is still what it was.

use super::row::{BESIDE, Element, KEPT, LAPSING, Micros, Row};
use crate::values::mode::{Ahead, Mode};
use std::collections::BTreeSet;

impl Row {
    /// Gives a free lock to the first in the queue, for as long as that one was renewed for; and, if it lets others hold beside it, to
    /// all that may. What has lapsed goes.
    pub(super) fn settle(&mut self, now: Micros) {
        self.queue.retain(|element| element.until > now);
        if self.is_taken(now) {
            return;
        }
        self.keep_until = None;
        match self.queue.first().map(Element::mode) {
            None => {
                (self.session, self.number, self.holder) = (None, None, None);
                self.locked_until = self.locked_until.min(now);
            }
            Some(Mode::Exclusive) => {
                let next = self.queue.remove(0);
                self.fence = self.next_fence(now);
                (self.session, self.number, self.holder) = (Some(next.session), Some(next.number), Some(next.holder));
                self.locked_until = next.until;
            }
            Some(_) => self.grant_beside(now),
        }
    }

    fn grant_beside(&mut self, now: Micros) {
        let (mut ahead, mut next) = (Ahead::default(), self.next_fence(now));
        for element in &mut self.queue {
            let mode = element.mode();
            if element.fence.is_none() && ahead.let_hold(mode) {
                element.fence = Some(next);
                self.fence = next;
                next += 1;
            }
            ahead.push(mode);
        }
        (self.session, self.number, self.holder) = (Some(BESIDE.to_owned()), None, None);
        let holding = self.queue.iter().filter(|element| element.fence.is_some());
        self.locked_until = holding.map(|element| element.until).max().unwrap_or(now);
    }

    /// At least the microseconds since 1970, so that it grows even if the table is lost.
    fn next_fence(&self, now: Micros) -> i64 {
        self.fence.saturating_add(1).max(now)
    }

    /// Whether an entry of this mode would hold the lock now.
    pub(super) fn lets_hold(&self, mode: Mode, now: Micros) -> bool {
        let mut ahead = Ahead::default();
        self.queue.iter().filter(|element| element.until > now).for_each(|element| ahead.push(element.mode()));
        !self.is_taken(now) && ahead.let_hold(mode)
    }

    /// Puts an entry at the end of the queue, unless it is there or holds the lock; a free lock goes to the first.
    pub(super) fn enter(&mut self, entry: Element, now: Micros) {
        let (session, number) = (&entry.session, entry.number);
        let is_in_queue = self.queue.iter().any(|element| element.is_of(session, number) && element.until > now);
        if !is_in_queue && self.held_by(session, number, now).is_none() {
            self.queue.push(entry);
        }
        self.settle(now);
    }

    /// Removes the entries of a session that are meant, and those of it that were kept. One that is extended stays until its time is
    /// over, if `extended_stay`.
    pub(super) fn leave(&mut self, session: &str, numbers: &BTreeSet<i64>, extended_stay: bool, now: Micros) {
        let is_meant = |own: &str, number: Option<i64>| {
            own.strip_suffix(KEPT).unwrap_or(own) == session && number.is_some_and(|number| numbers.contains(&number))
        };
        if self.session.as_deref().is_some_and(|own| is_meant(own, self.number)) && self.is_taken(now) {
            match self.keep_until.filter(|keep| extended_stay && *keep > now) {
                Some(keep) => {
                    self.session = Some(format!("{session}{KEPT}"));
                    self.locked_until = keep;
                }
                None => self.locked_until = now,
            }
        }
        self.queue.retain_mut(|element| {
            if !is_meant(&element.session, Some(element.number)) {
                return true;
            }
            match element.keep_until.filter(|keep| extended_stay && element.fence.is_some() && *keep > now) {
                Some(keep) => {
                    element.session = format!("{session}{KEPT}");
                    element.until = keep;
                    true
                }
                None => false,
            }
        });
        self.settle(now);
    }

    /// Keeps the entries of a session that are meant, holders and waiters, until then at least.
    pub(super) fn renew(&mut self, session: &str, numbers: &BTreeSet<i64>, until: Micros, now: Micros) {
        let is_meant = |number: i64| numbers.contains(&number);
        if self.session.as_deref() == Some(session)
            && self.number.is_some_and(is_meant)
            && self.locked_until > now
            && self.keep_until != Some(LAPSING)
        {
            self.locked_until = self.locked_until.max(until);
        }
        for element in &mut self.queue {
            let is_own = element.session == session && is_meant(element.number) && element.until > now;
            if is_own && element.keep_until != Some(LAPSING) {
                element.until = element.until.max(until);
            }
        }
        self.settle(now);
    }

    /// Changes what `work` is given of a hold: until when it lasts, and until when it stays. Returns whether the entry holds the lock.
    pub(super) fn change_hold(
        &mut self,
        session: &str,
        number: i64,
        now: Micros,
        work: impl Fn(&mut Micros, &mut Option<Micros>),
    ) -> bool {
        if self.held_by(session, number, now).is_none() {
            return false;
        }
        if self.is_of(session, number) {
            work(&mut self.locked_until, &mut self.keep_until);
        }
        for element in self.queue.iter_mut().filter(|element| element.is_of(session, number)) {
            work(&mut element.until, &mut element.keep_until);
        }
        self.settle(now);
        true
    }

    /// Takes the lock away from its holders, or from the one with this fence; returns how many those were.
    pub(super) fn force_release(&mut self, fence: Option<i64>, now: Micros) -> usize {
        let is_meant = |held: i64| fence.is_none_or(|fence| fence == held);
        self.settle(now);
        let before = self.queue.len();
        if self.is_beside() {
            self.queue.retain(|element| !element.fence.is_some_and(is_meant));
        } else if self.is_taken(now) && is_meant(self.fence) {
            self.locked_until = now;
            self.settle(now);
            return 1;
        }
        let removed = before - self.queue.len();
        self.settle(now);
        removed
    }

    /// Gives a hold to another session: one that is alone. Returns its fence.
    pub(super) fn hand_over(&mut self, to: Element, is_granted: bool, now: Micros) -> i64 {
        if is_granted {
            self.fence = self.next_fence(now);
        }
        (self.session, self.number, self.holder) = (Some(to.session), Some(to.number), Some(to.holder));
        (self.locked_until, self.keep_until) = (to.until, None);
        self.fence
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::{Beside, Reader};
    use super::*;
    use proptest::prelude::*;

    fn element(number: i64, mode: Mode, until: Micros) -> Element {
        let beside = match mode {
            Mode::Exclusive => None,
            Mode::Shared => Some(Beside::Shared(Reader::Reader)),
            Mode::Permits(limit) => Some(Beside::Permits(limit)),
        };
        Element { session: "s".to_owned(), number, holder: String::new(), until, beside, fence: None, keep_until: None }
    }

    fn numbers(number: i64) -> BTreeSet<i64> {
        [number].into()
    }

    #[test]
    fn a_free_lock_goes_to_the_first_that_is_still_renewed() {
        let mut row = Row::default();
        for (number, until) in [(1, 30), (2, 15), (3, 40)] {
            row.enter(element(number, Mode::Exclusive, until), 10);
        }
        assert_eq!(row.holders(10), [("s", 1, 10)]);
        row.leave("s", &numbers(1), true, 20);
        assert_eq!(row.holders(20), [("s", 3, 20)], "the second has lapsed");
        assert_eq!(row.locked_until, 40);
    }

    #[test]
    fn a_kept_hold_stays_for_its_time_and_leaves_all_the_same() {
        let mut row = Row::default();
        row.enter(element(1, Mode::Exclusive, 30), 10);
        assert!(row.change_hold("s", 1, 11, |until, keep| (*until, *keep) = ((*until).max(50), Some(50))));
        row.leave("s", &numbers(1), true, 12);
        assert!(row.is_taken(49) && row.held_by("s", 1, 12).is_none());
        row.renew("s", &numbers(1), 90, 13);
        assert_eq!(row.locked_until, 50, "nobody renews it");
        row.leave("s", &numbers(1), false, 14);
        assert!(!row.is_taken(14));
    }

    #[test]
    fn what_lapses_is_not_renewed() {
        let mut row = Row::default();
        row.enter(element(1, Mode::Shared, 30), 10);
        assert!(row.change_hold("s", 1, 11, |until, keep| (*until, *keep) = (20, Some(LAPSING))));
        row.renew("s", &numbers(1), 90, 12);
        assert_eq!((row.queue[0].until, row.held_by("s", 1, 21)), (20, None));
    }

    /// Numbers are each session's own: those of the dead would never lapse.
    #[test]
    fn a_session_renews_no_waiter_of_another_and_none_that_has_lapsed() {
        let mut row = Row::default();
        let theirs = |number, until| Element { session: "t".to_owned(), ..element(number, Mode::Exclusive, until) };
        row.enter(element(1, Mode::Exclusive, 60), 10);
        row.enter(theirs(2, 40), 10);
        row.enter(element(2, Mode::Exclusive, 40), 10);
        row.enter(element(3, Mode::Exclusive, 20), 10);
        row.renew("s", &[2, 3].into(), 90, 20);
        let waiting: Vec<_> = row.queue.iter().map(|one| (one.session.as_str(), one.number, one.until)).collect();
        assert_eq!(waiting, [("t", 2, 40), ("s", 2, 90)]);
    }

    #[test]
    fn a_hold_that_is_handed_over_has_a_greater_fence_once_it_is_adopted() {
        let mut row = Row::default();
        row.enter(element(1, Mode::Exclusive, 60), 10);
        assert_eq!(row.hand_over(element(7, Mode::Exclusive, 70), false, 11), 10, "the ticket has that of the hold");
        assert_eq!(row.hand_over(element(2, Mode::Exclusive, 90), true, 12), 12);
        assert_eq!(row.holders(12), [("s", 2, 12)]);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Enter(Mode),
        Leave(usize),
        Renew(usize),
        Force,
        Later(i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let mode = prop_oneof![Just(Mode::Exclusive), Just(Mode::Shared), (1..4_u32).prop_map(Mode::Permits)];
        prop_oneof![
            4 => mode.prop_map(Step::Enter),
            3 => (0..20_usize).prop_map(Step::Leave),
            2 => (0..20_usize).prop_map(Step::Renew),
            1 => Just(Step::Force),
            3 => (1..12_i64).prop_map(Step::Later),
        ]
    }

    proptest! {
        /// The rule of the contract, whatever happens: those who hold may hold beside each other, fences grow with every hold, the first
        /// of those who wait has somebody in its way, and no hold ends by a change that is not its own.
        #[test]
        fn holders_are_compatible_and_fences_grow(steps in prop::collection::vec(step(), 1..60)) {
            let (mut row, mut now, mut modes, mut seen) = (Row::default(), 100, Vec::new(), std::collections::BTreeMap::new());
            for step in steps {
                match step {
                    Step::Enter(mode) => {
                        modes.push(mode);
                        row.enter(element(modes.len() as i64 - 1, mode, now + 20), now);
                    }
                    Step::Leave(number) => row.leave("s", &numbers(number as i64), true, now),
                    Step::Renew(number) => row.renew("s", &numbers(number as i64), now + 20, now),
                    Step::Force => drop(row.force_release(None, now)),
                    Step::Later(micros) => {
                        now += micros;
                        row.settle(now);
                    }
                }
                let holders = row.holders(now);
                let mut ahead = Ahead::default();
                for (_, number, fence) in &holders {
                    let mode = modes[usize::try_from(*number).unwrap()];
                    prop_assert!(ahead.let_hold(mode), "{row:?}");
                    ahead.push(mode);
                    let largest = seen.values().max().copied().unwrap_or(0);
                    match seen.insert(*number, *fence) {
                        Some(known) => prop_assert_eq!(known, *fence, "a hold's fence changed"),
                        None => prop_assert!(*fence > largest, "{fence} after {largest}"),
                    }
                }
                let first = row.queue.iter().find(|element| element.fence.is_none());
                if let Some(first) = first {
                    prop_assert!(!ahead.let_hold(first.mode()), "a lock is free, and one waits: {row:?}");
                }
                prop_assert!(holders.is_empty() != (row.locked_until > now), "{row:?}");
            }
        }
    }
}
