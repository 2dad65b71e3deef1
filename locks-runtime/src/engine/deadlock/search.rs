//! What one search reads: the lines of what the searching request holds, of what those hold who wait there, and so on.

use super::stuck::{Circle, Graph, HoldName, Waiting};
use crate::contract::Line;
use crate::values::key::Key;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;

/// How many lines one search reads at most. Who waits in those that are not read may go on, for all that it knows.
const MOST_LINES: usize = 64;

/// The circle that `waiting` is in, if it is in one. `look` reads the line of a lock.
pub(super) async fn circle<L, F>(waiting: Waiting<'_>, look: L) -> Option<Circle>
where
    L: Fn(Key) -> F,
    F: Future<Output = Option<Line>>,
{
    let lines = read(waiting, look).await;
    Graph::new(waiting, lines.values().flatten()).circle()
}

async fn read<L, F>(waiting: Waiting<'_>, look: L) -> BTreeMap<String, Option<Line>>
where
    L: Fn(Key) -> F,
    F: Future<Output = Option<Line>>,
{
    let mut lines = BTreeMap::new();
    for key in waiting.keys {
        lines.insert(key.to_string(), look(key.clone()).await);
    }
    let mut open: VecDeque<HoldName> = HoldName::all_around(waiting.record).collect();
    let mut reached: BTreeSet<HoldName> = open.iter().cloned().collect();
    while let Some(hold) = open.pop_front() {
        if !lines.contains_key(&hold.key) {
            let Some(key) = Key::new(&hold.key).ok().filter(|_| lines.len() < MOST_LINES) else { continue };
            lines.insert(hold.key.clone(), look(key).await);
        }
        let Some(Some(line)) = lines.get(&hold.key) else { continue };
        if line.holders.iter().any(|holder| hold.is(holder)) {
            let held = line.waiters.iter().flat_map(|waiter| HoldName::all_around(waiter));
            open.extend(held.filter(|next| reached.insert(next.clone())));
        }
    }
    lines
}
