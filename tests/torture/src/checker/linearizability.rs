//! Whether the writes to the fenced register could have happened one after the other.
//!
//! An exact test, by "just in time linearization" (Gavin Lowe, *Testing for linearizability*, 2017): it goes through the
//! beginnings and ends of the operations in time, and keeps every state that the register can be in, together with the
//! open operations that have taken effect. When an operation ends it must have taken effect; if there is no state in which
//! it has, the history is not linearizable.

use std::collections::{BTreeSet, HashSet};

use super::history::Write;
use crate::history::Register;

/// A state that the register may be in, and the open operations that have taken effect in it.
type Possible = (Register, BTreeSet<usize>);

/// The first operation that cannot be put into an order with those before it.
pub(super) fn first_impossible(writes: &[&Write]) -> Option<usize> {
    let mut moments: Vec<(u64, bool, usize)> = Vec::new();
    for (index, write) in writes.iter().enumerate() {
        // Of two operations, one that begins when the other one ends may have come first.
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

/// The possible states in which `ended` has taken effect, with any of the other `open` operations before it.
fn after(writes: &[&Write], open: &BTreeSet<usize>, before: HashSet<Possible>, ended: usize) -> HashSet<Possible> {
    let mut todo: Vec<Possible> = before.into_iter().map(|before| with_refused(writes, open, before)).collect();
    let mut seen: HashSet<Possible> = todo.iter().cloned().collect();
    let mut possible = HashSet::new();
    while let Some((state, mut effective)) = todo.pop() {
        if effective.remove(&ended) {
            possible.insert((state, effective));
            continue;
        }
        for next in open.difference(&effective) {
            let Some(state) = apply(state, writes[*next]) else { continue };
            let mut effective = effective.clone();
            effective.insert(*next);
            let new = with_refused(writes, open, (state, effective));
            if seen.insert(new.clone()) {
                todo.push(new);
            }
        }
    }
    possible
}

/// The same state, in which each open operation has taken effect that was refused and could be in it: that changes nothing for
/// the others, so that none of them need be tried both before and after it.
fn with_refused(writes: &[&Write], open: &BTreeSet<usize>, (state, mut effective): Possible) -> Possible {
    let refused = |index: &&usize| apply(state, writes[**index]) == Some(state) && !writes[**index].accepted;
    effective.extend(open.iter().filter(refused));
    (state, effective)
}

/// The specification: a write is accepted exactly if no greater fence has written, and returns the previous state.
fn apply(state: Register, write: &Write) -> Option<Register> {
    let accepted = write.fence >= state.fence;
    if accepted != write.accepted || state != write.previous {
        return None;
    }
    Some(if accepted { Register { fence: write.fence, value: write.value } } else { state })
}
