//! The matrix: every option of a call together with every other, with every fault at every phase, and with every way in
//! which a process ends. A covering design decides which calls are made, not luck.

use std::collections::{BTreeMap, BTreeSet};

use crate::lock::Kinds;
use crate::random::Random;

mod cover;
pub mod dealer;
mod row;

pub use cover::Pair;
pub use row::{Access, Caller, Client, Deed, Function, Keys, Least, Length, Most, Nested, Phase, Row, Waits, shown};

/// The matrix of a store.
#[derive(Clone, Copy, Debug)]
pub struct Matrix {
    /// Whether there is a network that can be cut.
    pub has_network: bool,
    /// Of which kinds its holds can be.
    pub kinds: Kinds,
}

impl Matrix {
    /// Rows that together have every pair that makes sense, in random order.
    #[must_use]
    pub fn rows(&self, random: &mut Random) -> Vec<Row> {
        in_random_order(&cover::cover(self, random), random)
    }

    /// A row for each of these pairs, in random order.
    fn rows_for_each(&self, missing: &BTreeSet<Pair>, random: &mut Random) -> Vec<Row> {
        in_random_order(&cover::singly(self, missing, random), random)
    }

    /// The pairs that this row has.
    fn pairs_of(&self, row: &Row) -> Vec<Pair> {
        cover::covered(self, &row.values())
    }

    /// Every pair that makes sense.
    #[must_use]
    pub fn pairs(&self) -> BTreeSet<Pair> {
        cover::pairs(self)
    }

    /// How often these rows have each of the pairs.
    #[must_use]
    pub fn count(&self, rows: &[Row]) -> BTreeMap<Pair, usize> {
        let mut counts: BTreeMap<Pair, usize> = self.pairs().into_iter().map(|pair| (pair, 0)).collect();
        for pair in rows.iter().flat_map(|row| self.pairs_of(row)) {
            *counts.entry(pair).or_default() += 1;
        }
        counts
    }
}

fn in_random_order(rows: &[Vec<usize>], random: &mut Random) -> Vec<Row> {
    let mut rows: Vec<Row> = rows.iter().map(|values| Row::from_values(values)).collect();
    random.shuffle(&mut rows);
    rows
}

impl cover::Design for Matrix {
    fn sizes(&self) -> Vec<usize> {
        Row::sizes()
    }

    fn allows(&self, partial: &[Option<usize>]) -> bool {
        let values = Partial::of(partial);
        values.a_plain_function_can()
            && values.a_guard_can()
            && values.the_phase_exists()
            && (self.has_network || values.deed != Some(Deed::Cut))
            && (self.kinds.shared || values.mode != Some(Access::Shared))
            && (self.kinds.permits || values.mode != Some(Access::Permits))
            && (self.kinds.several || values.keys != Some(Keys::Several))
    }

    fn effective(&self, partial: &[Option<usize>]) -> Vec<bool> {
        let Partial { caller, phase, deed, .. } = Partial::of(partial);
        // What comes after the end of the process, or of the call, does not come.
        let ends = deed.is_some_and(Deed::ends_process);
        let ends_before = ends && matches!(phase, Some(Phase::Granted | Phase::Kept));
        let begins = caller != Some(Caller::DropsBefore) && !ends_before;
        let is_dropped_before = caller.is_none_or(|caller| caller == Caller::DropsBefore) && !ends;
        let ends_body = begins && (!ends || phase.is_none_or(|phase| phase == Phase::Release));
        let mut effective = vec![true; row::FACTORS];
        effective[0] = is_dropped_before || ends_body;
        for factor in [6, 8, 9] {
            effective[factor] = begins;
        }
        effective
    }
}

/// What is decided of a row.
struct Partial {
    function: Option<Function>,
    least: Option<Least>,
    most: Option<Most>,
    nested: Option<Nested>,
    caller: Option<Caller>,
    phase: Option<Phase>,
    deed: Option<Deed>,
    mode: Option<Access>,
    keys: Option<Keys>,
}

impl Partial {
    fn of(values: &[Option<usize>]) -> Self {
        Self {
            caller: values[0].map(|value| Caller::ALL[value]),
            phase: values[1].map(|value| Phase::ALL[value]),
            deed: values[2].map(|value| Deed::ALL[value]),
            function: values[3].map(|value| Function::ALL[value]),
            least: values[5].map(|value| Least::ALL[value]),
            most: values[6].map(|value| Most::ALL[value]),
            nested: values[9].map(|value| Nested::ALL[value]),
            mode: values[10].map(|value| Access::ALL[value]),
            keys: values[11].map(|value| Keys::ALL[value]),
        }
    }

    /// A plain function has no `hold_at_most`, is not polled, and cannot be dropped; its body does one thing at a time.
    fn a_plain_function_can(&self) -> bool {
        self.function != Some(Function::Plain)
            || (self.most != Some(Most::Some)
                && !matches!(self.phase, Some(Phase::Granted | Phase::Kept))
                && !matches!(self.caller, Some(Caller::DropsBefore | Caller::DropsInside))
                && self.nested != Some(Nested::JoinsTwice))
    }

    /// Only bodies know what they are inside: a second guard of the same key waits for the first.
    fn a_guard_can(&self) -> bool {
        self.function != Some(Function::Guard) || matches!(self.nested, None | Some(Nested::Nothing | Nested::Other))
    }

    /// A body that can be stopped does not come to its end, nor out of what it has called, once its client is closed.
    fn a_closed_client_allows(&self) -> bool {
        let is_stopped = matches!(self.function, Some(Function::Async | Function::Run));
        let comes_back = match self.caller {
            Some(Caller::Panics) => true,
            Some(Caller::DropsInside) => !matches!(self.nested, None | Some(Nested::Nothing)),
            _ => false,
        };
        !(is_stopped && comes_back)
    }

    fn the_phase_exists(&self) -> bool {
        let is_dropped_before = self.caller == Some(Caller::DropsBefore);
        match self.phase {
            // Nothing happens at no phase, and something at each other; to close the client is something already.
            Some(Phase::None) => self.deed.is_none_or(|deed| deed == Deed::Nothing),
            Some(Phase::Close) => !is_dropped_before && self.a_closed_client_allows(),
            Some(phase) if self.deed == Some(Deed::Nothing) => phase == Phase::None,
            Some(Phase::Kept) => self.least != Some(Least::None),
            Some(Phase::Body | Phase::Release) => !is_dropped_before,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests;
