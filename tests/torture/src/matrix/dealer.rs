//! Deals the rows of the matrix to the tasks of the workers until each is met, and then the rows of another design.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Deed, Matrix, Phase, Row};
use crate::random::Random;

/// Who makes a call: the worker's number, and the task's.
pub type Caller = (usize, u64);

/// So many calls of one worker in which something happens may be under way.
const DISTURBING: usize = 3;

/// In each cycle of the nemesis nothing happens after this time, so that everything can recover.
const CALM_AFTER: Duration = Duration::from_secs(40);
const CYCLE: Duration = Duration::from_secs(60);

/// The number of a row that need not be met.
const UNCOUNTED: u64 = u64::MAX;

/// The rows that are still to be met.
#[derive(Debug)]
pub struct Dealer {
    matrix: Matrix,
    random: Random,
    begun: Instant,
    /// The number of the first row of the present design.
    first: u64,
    rows: Vec<Dealt>,
    under_way: BTreeMap<Caller, usize>,
}

#[derive(Debug)]
struct Dealt {
    row: Row,
    times: usize,
    is_met: bool,
}

impl Dealer {
    /// For a run with this seed that begins now.
    #[must_use]
    pub fn new(matrix: Matrix, seed: u64) -> Self {
        let random = Random::new(seed, "matrix");
        let mut dealer =
            Self { matrix, random, begun: Instant::now(), first: 0, rows: Vec::new(), under_way: BTreeMap::new() };
        dealer.shuffle();
        dealer
    }

    /// What this task calls next, and the number by which it is met.
    pub fn draw(&mut self, caller: Caller) -> (u64, Row) {
        self.draw_at(caller, self.begun.elapsed())
    }

    fn draw_at(&mut self, caller: Caller, elapsed: Duration) -> (u64, Row) {
        self.under_way.remove(&caller);
        if self.rows.iter().all(|dealt| dealt.is_met) {
            self.shuffle();
        }
        let Some(index) = self.next(caller.0, elapsed) else { return (UNCOUNTED, self.any_calm()) };
        self.under_way.insert(caller, index);
        self.rows[index].times += 1;
        (self.first + u64::try_from(index).unwrap_or(0), self.rows[index].row)
    }

    /// The row of this number was met.
    pub fn met(&mut self, number: u64) {
        let index = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        if let Some(dealt) = index.and_then(|index| self.rows.get_mut(index)) {
            dealt.is_met = true;
        }
    }

    /// The worker's process has ended, and with it its calls.
    pub fn ended(&mut self, worker: usize) {
        self.under_way.retain(|caller, _| caller.0 != worker);
    }

    /// The row that was dealt least often of those that are not met, if it may be dealt now.
    fn next(&self, worker: usize, elapsed: Duration) -> Option<usize> {
        let own = self.under_way.iter().filter(|(caller, _)| caller.0 == worker);
        let own: Vec<Row> = own.map(|(_, index)| self.rows[*index].row).collect();
        let in_cycle = elapsed.as_secs() % CYCLE.as_secs();
        let may_disturb =
            in_cycle < CALM_AFTER.as_secs() && own.iter().filter(|row| row.disturbs()).count() < DISTURBING;
        // One at a time: the others would end with it.
        let may_end = !own.iter().any(|row| row.deed.ends_process());
        let may = |row: &Row| !row.disturbs() || (may_disturb && (may_end || !row.deed.ends_process()));
        let is_under_way = |index: &usize| self.under_way.values().any(|under_way| under_way == index);
        let open = self.rows.iter().enumerate().filter(|(index, dealt)| !dealt.is_met && !is_under_way(index));
        let open = open.filter(|(_, dealt)| may(&dealt.row));
        open.min_by_key(|(_, dealt)| dealt.times).map(|(index, _)| index)
    }

    /// Any row, but that nothing happens in it.
    fn any_calm(&mut self) -> Row {
        let rows: Vec<Row> = self.rows.iter().map(|dealt| dealt.row).collect();
        Row { phase: Phase::None, deed: Deed::Nothing, ..*self.random.one_of(&rows) }
    }

    fn shuffle(&mut self) {
        self.first += u64::try_from(self.rows.len()).unwrap_or(0);
        let rows = self.matrix.rows(&mut self.random);
        self.rows = rows.into_iter().map(|row| Dealt { row, times: 0, is_met: false }).collect();
        self.under_way.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn dealer(seed: u64) -> Dealer {
        Dealer::new(Matrix { has_network: true }, seed)
    }

    #[test]
    fn each_row_is_dealt_until_it_is_met_and_then_there_are_others() {
        let mut dealer = dealer(1);
        let count = dealer.rows.len();
        let mut met = BTreeSet::new();
        for round in 0..20 * count {
            let (number, _) = dealer.draw_at((round % 3, 0), Duration::ZERO);
            // The first time, each fails.
            let index = usize::try_from(number).unwrap();
            if dealer.first == 0 && dealer.rows.get(index).is_some_and(|dealt| dealt.times > 1) {
                dealer.met(number);
                met.insert(number);
            }
            if dealer.first > 0 {
                break;
            }
        }
        assert_eq!((met.len(), dealer.first), (count, u64::try_from(count).unwrap()));
    }

    #[test]
    fn one_call_at_a_time_is_to_end_a_process_and_none_while_it_is_to_be_calm() {
        let mut dealer = dealer(2);
        let rows: Vec<Row> = (0..6).map(|task| dealer.draw_at((0, task), Duration::ZERO).1).collect();
        assert_eq!(rows.iter().filter(|row| row.disturbs()).count(), DISTURBING);
        assert!(rows.iter().filter(|row| row.deed.ends_process()).count() <= 1);
        assert!((0..6).all(|task| !dealer.draw_at((1, task), Duration::from_secs(100)).1.disturbs()));
        // The next process may end, too.
        dealer.ended(0);
        assert!((0..6).any(|task| dealer.draw_at((0, task), Duration::from_secs(61)).1.disturbs()));
    }
}
