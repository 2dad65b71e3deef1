//! Whether the writes to the fenced register could have happened one after the other.
//!
//! An exact test, by "just in time linearization" (Gavin Lowe, *Testing for linearizability*, 2017): it goes through the
//! beginnings and ends of the operations in time, and keeps every state the register can be in together with the open
//! operations that have happened already. When an operation ends it must have happened; if that is in no state, there
//! is no order.

use std::collections::{BTreeSet, HashSet};

use super::story::Write;
use crate::history::Register;

/// A state the register may be in, and which of the open operations have happened.
type Possible = (Register, BTreeSet<usize>);

/// The first operation that cannot be put into any order with those before it.
pub(super) fn first_impossible(writes: &[&Write]) -> Option<usize> {
    let mut moments: Vec<(u64, bool, usize)> = Vec::new();
    for (index, write) in writes.iter().enumerate() {
        // What begins at the moment another ends may have come first.
        moments.push((write.span.from, false, index));
        moments.push((write.span.to, true, index));
    }
    moments.sort_unstable();
    let mut open = BTreeSet::new();
    let mut possible: HashSet<Possible> = HashSet::from([(Register::default(), BTreeSet::new())]);
    for (_, ends, index) in moments {
        if !ends {
            open.insert(index);
            continue;
        }
        possible = after(writes, &open, possible, index);
        open.remove(&index);
        if possible.is_empty() {
            return Some(index);
        }
    }
    None
}

/// What is possible once `ended` has happened, whatever else of `open` has.
fn after(writes: &[&Write], open: &BTreeSet<usize>, before: HashSet<Possible>, ended: usize) -> HashSet<Possible> {
    let mut seen = before.clone();
    let mut todo: Vec<Possible> = before.into_iter().collect();
    let mut possible = HashSet::new();
    while let Some((state, mut happened)) = todo.pop() {
        if happened.remove(&ended) {
            possible.insert((state, happened));
            continue;
        }
        for next in open.difference(&happened) {
            let Some(state) = apply(state, writes[*next]) else { continue };
            let mut happened = happened.clone();
            happened.insert(*next);
            let new = (state, happened);
            if seen.insert(new.clone()) {
                todo.push(new);
            }
        }
    }
    possible
}

/// The specification: a write is accepted exactly if no higher fence has written; what was there is told.
fn apply(state: Register, write: &Write) -> Option<Register> {
    let accepted = write.fence >= state.fence;
    if accepted != write.accepted || state != write.was {
        return None;
    }
    Some(if accepted { Register { fence: write.fence, value: write.value } } else { state })
}
