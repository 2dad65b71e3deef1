//! A covering array: few rows of values that together contain every pair of values of every two factors.
//!
//! Greedy, as AETG (Cohen, Dalal, Fredman, Patton, *The AETG system*, 1997): row by row, each the best of some that begin
//! with a pair that is still missing. Not every row makes sense, and in some a value has no effect, so that a row covers
//! the pairs that the caller says.

use std::collections::BTreeSet;

use crate::random::Random;

/// A value of a factor: the factor's number, and the value's.
pub(super) type Value = (usize, usize);

/// Two values of different factors; the first one's factor has the smaller number.
pub type Pair = (Value, Value);

/// What is to be covered.
pub(super) trait Design {
    /// How many values each factor has.
    fn sizes(&self) -> Vec<usize>;

    /// Whether a row with these values makes sense. A factor without a value yet may get any.
    fn allows(&self, partial: &[Option<usize>]) -> bool;

    /// Which of the row's values have an effect, or may have as long as not every factor has a value.
    fn effective(&self, partial: &[Option<usize>]) -> Vec<bool>;
}

/// How many rows are made for each that is taken.
const CANDIDATES: usize = 12;

/// Rows that cover every pair that any row covers.
pub(super) fn cover(design: &impl Design, random: &mut Random) -> Vec<Vec<usize>> {
    let mut missing = pairs(design);
    let mut rows = Vec::new();
    while let Some(row) = best(design, &missing, random) {
        for pair in covered(design, &row) {
            missing.remove(&pair);
        }
        rows.push(row);
    }
    rows
}

/// For each of these pairs a row whose other values are random: what one of them has besides is no pair's obstacle for long.
pub(super) fn singly(design: &impl Design, missing: &BTreeSet<Pair>, random: &mut Random) -> Vec<Vec<usize>> {
    let mut shuffled = |mut values: Vec<Value>| {
        random.shuffle(&mut values);
        values
    };
    missing.iter().filter_map(|pair| row_with(design, *pair, &mut shuffled)).collect()
}

/// All pairs that a row can cover.
pub(super) fn pairs(design: &impl Design) -> BTreeSet<Pair> {
    all(&design.sizes()).into_iter().filter(|pair| row_with(design, *pair, &mut |values| values).is_some()).collect()
}

/// The pairs that this row covers.
pub(super) fn covered(design: &impl Design, row: &[usize]) -> Vec<Pair> {
    let effective = design.effective(&row.iter().copied().map(Some).collect::<Vec<_>>());
    let values: Vec<Value> = row.iter().copied().enumerate().filter(|(factor, _)| effective[*factor]).collect();
    let pairs =
        values.iter().enumerate().flat_map(|(index, first)| values[index + 1..].iter().map(|second| (*first, *second)));
    pairs.collect()
}

fn all(sizes: &[usize]) -> Vec<Pair> {
    let values: Vec<Value> =
        sizes.iter().enumerate().flat_map(|(factor, size)| (0..*size).map(move |value| (factor, value))).collect();
    let pairs = values.iter().flat_map(|first| values.iter().map(|second| (*first, *second)));
    pairs.filter(|(first, second)| first.0 < second.0).collect()
}

/// The best of several rows, each with a missing pair in it; `None` if none is missing.
fn best(design: &impl Design, missing: &BTreeSet<Pair>, random: &mut Random) -> Option<Vec<usize>> {
    let pairs: Vec<Pair> = missing.iter().copied().collect();
    if pairs.is_empty() {
        return None;
    }
    let candidates = (0..CANDIDATES).filter_map(|_| {
        let pair = *random.one_of(&pairs);
        row_with(design, pair, &mut |mut values| {
            random.shuffle(&mut values);
            // What is missing most, first.
            values.sort_by_key(|value| std::cmp::Reverse(pairs.iter().filter(|pair| has(pair, *value)).count()));
            values
        })
    });
    candidates.max_by_key(|row| covered(design, row).iter().filter(|pair| missing.contains(pair)).count())
}

fn has(pair: &Pair, value: Value) -> bool {
    pair.0 == value || pair.1 == value
}

/// A row that covers this pair, if there is one; the other values are tried in the order that `preferred` puts them into.
fn row_with(
    design: &impl Design,
    pair: Pair,
    preferred: &mut impl FnMut(Vec<Value>) -> Vec<Value>,
) -> Option<Vec<usize>> {
    let sizes = design.sizes();
    let mut partial = vec![None; sizes.len()];
    for (factor, value) in [pair.0, pair.1] {
        partial[factor] = Some(value);
    }
    complete(design, &sizes, &mut partial, pair, preferred)
}

/// Fills the first factor that has no value, and so on; goes back where that leads nowhere.
fn complete(
    design: &impl Design,
    sizes: &[usize],
    partial: &mut Vec<Option<usize>>,
    pair: Pair,
    preferred: &mut impl FnMut(Vec<Value>) -> Vec<Value>,
) -> Option<Vec<usize>> {
    let effective = design.effective(partial);
    if !design.allows(partial) || !effective[pair.0.0] || !effective[pair.1.0] {
        return None;
    }
    let Some(factor) = partial.iter().position(Option::is_none) else {
        return Some(partial.iter().flatten().copied().collect());
    };
    for (_, value) in preferred((0..sizes[factor]).map(|value| (factor, value)).collect()) {
        partial[factor] = Some(value);
        if let Some(row) = complete(design, sizes, partial, pair, preferred) {
            return Some(row);
        }
    }
    partial[factor] = None;
    None
}
