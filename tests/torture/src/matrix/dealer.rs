//! Deals the rows of the matrix to the tasks of the workers until every pair is met, and then those of another design.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{Deed, Matrix, Pair, Phase, Row};
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

/// A row that was dealt so often is not met by more of it: a pair that only it had is asked for beside other values.
const DEALS: usize = 3;

/// The rows that are still to be met.
#[derive(Debug)]
pub struct Dealer {
    matrix: Matrix,
    random: Random,
    begun: Instant,
    /// The pairs that nobody has met yet.
    missing: BTreeSet<Pair>,
    /// The number of the first row of the present design.
    first: u64,
    rows: Vec<Dealt>,
    under_way: BTreeMap<Caller, (u64, Row)>,
}

#[derive(Debug)]
struct Dealt {
    row: Row,
    pairs: Vec<Pair>,
    times: usize,
}

impl Dealer {
    /// For a run with this seed that begins now.
    #[must_use]
    pub fn new(matrix: Matrix, seed: u64) -> Self {
        let mut dealer = Self {
            matrix,
            random: Random::new(seed, "matrix"),
            begun: Instant::now(),
            missing: BTreeSet::new(),
            first: 0,
            rows: Vec::new(),
            under_way: BTreeMap::new(),
        };
        dealer.design();
        dealer
    }

    /// What this task calls next, and the number by which it is met.
    pub fn draw(&mut self, caller: Caller) -> (u64, Row) {
        self.draw_at(caller, self.begun.elapsed())
    }

    fn draw_at(&mut self, caller: Caller, elapsed: Duration) -> (u64, Row) {
        self.under_way.remove(&caller);
        if !self.rows.iter().any(|dealt| self.is_open(dealt)) {
            self.design();
        }
        let Some(index) = self.next(caller.0, elapsed) else { return (UNCOUNTED, self.any_calm()) };
        let drawn = (self.number(index), self.rows[index].row);
        self.under_way.insert(caller, drawn);
        self.rows[index].times += 1;
        drawn
    }

    /// The row of this number, which is under way, was met.
    pub fn met(&mut self, number: u64) {
        if let Some((_, row)) = self.under_way.values().find(|(under_way, _)| *under_way == number) {
            for pair in self.matrix.pairs_of(row) {
                self.missing.remove(&pair);
            }
        }
    }

    /// The worker's process has ended, and with it its calls.
    pub fn ended(&mut self, worker: usize) {
        self.under_way.retain(|caller, _| caller.0 != worker);
    }

    fn number(&self, index: usize) -> u64 {
        self.first + u64::try_from(index).unwrap_or(0)
    }

    /// Whether anything would be met by the row.
    fn is_open(&self, dealt: &Dealt) -> bool {
        dealt.times < DEALS && dealt.pairs.iter().any(|pair| self.missing.contains(pair))
    }

    /// The row that was dealt least often of those that are open, if it may be dealt now.
    fn next(&self, worker: usize, elapsed: Duration) -> Option<usize> {
        let own = self.under_way.iter().filter(|(caller, _)| caller.0 == worker);
        let own: Vec<Row> = own.map(|(_, (_, row))| *row).collect();
        let in_cycle = elapsed.as_secs() % CYCLE.as_secs();
        let may_disturb =
            in_cycle < CALM_AFTER.as_secs() && own.iter().filter(|row| row.disturbs()).count() < DISTURBING;
        // One at a time: the others would end with it.
        let may_end = !own.iter().any(|row| row.deed.ends_process());
        let may = |row: &Row| !row.disturbs() || (may_disturb && (may_end || !row.deed.ends_process()));
        let is_under_way = |index: usize| self.under_way.values().any(|(number, _)| *number == self.number(index));
        let rows = self.rows.iter().enumerate();
        let open = rows.filter(|(index, dealt)| self.is_open(dealt) && may(&dealt.row) && !is_under_way(*index));
        open.min_by_key(|(_, dealt)| dealt.times).map(|(index, _)| index)
    }

    /// Any row, but that nothing happens in it.
    fn any_calm(&mut self) -> Row {
        let rows: Vec<Row> = self.rows.iter().map(|dealt| dealt.row).collect();
        Row { phase: Phase::None, deed: Deed::Nothing, ..*self.random.one_of(&rows) }
    }

    /// The fewest rows that have every pair; then one for each pair that was not met with those, until none is missing.
    fn design(&mut self) {
        self.first = self.number(self.rows.len());
        let is_new = self.missing.is_empty() || self.rows.is_empty();
        let rows = if is_new {
            self.missing = self.matrix.pairs();
            self.matrix.rows(&mut self.random)
        } else {
            self.matrix.rows_for_each(&self.missing, &mut self.random)
        };
        self.rows = rows.into_iter().map(|row| Dealt { pairs: self.matrix.pairs_of(&row), row, times: 0 }).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Length, shown};
    use super::*;
    use crate::lock::Kinds;

    fn dealer(seed: u64) -> Dealer {
        Dealer::new(Matrix { has_network: true, kinds: Kinds::ALL }, seed)
    }

    /// Draws until the design is another one; rows for which this holds are met.
    fn play(dealer: &mut Dealer, is_met: impl Fn(&Row) -> bool) {
        for round in 0..20 * dealer.rows.len() {
            let first = dealer.first;
            let (number, row) = dealer.draw_at((round % 3, 0), Duration::ZERO);
            if dealer.first > first && first > 0 {
                return;
            }
            if number != UNCOUNTED && is_met(&row) {
                dealer.met(number);
            }
        }
    }

    #[test]
    fn once_every_pair_is_met_there_is_another_design() {
        let mut dealer = dealer(1);
        play(&mut dealer, |_| true);
        assert!(dealer.first > 0);
        assert!(dealer.missing.len() > dealer.matrix.pairs().len() / 2, "{}", dealer.missing.len());
    }

    #[test]
    fn what_a_row_is_not_met_with_is_asked_for_in_other_rows() {
        let mut dealer = dealer(1);
        // A pause in a long body never gets to its end.
        let cannot = |row: &Row| row.deed == Deed::Pause && row.length == Length::Long;
        let mut rows = BTreeSet::new();
        for round in 0..20 * dealer.rows.len() {
            let (number, row) = dealer.draw_at((round % 3, 0), Duration::ZERO);
            if row.deed == Deed::Pause {
                rows.insert(row.values());
            }
            if number != UNCOUNTED && !cannot(&row) {
                dealer.met(number);
            }
        }
        let pauses = |pair: &Pair| shown(pair.0) == "deed=Pause" || shown(pair.1) == "deed=Pause";
        let missing: Vec<String> = dealer
            .missing
            .iter()
            .filter(|pair| pauses(pair))
            .map(|pair| format!("{} {}", shown(pair.0), shown(pair.1)))
            .collect();
        assert_eq!(missing, ["deed=Pause length=Long"], "{} rows", rows.len());
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
