//! What a renewal has shown: which entries hold what they wait for by now, and which are gone.

use super::entries::{Confirmed, Entries, MustBeFound, Status};
use super::error::ENTRY_GONE;
use super::row::{Micros, Row, fence};
use crate::contract::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the answers to a renewal have shown.
#[derive(Default)]
pub(super) struct Renewed {
    /// Entries that still hold what they held.
    all: BTreeSet<u64>,
    /// By the numbers of the entries, the fences that they hold, with the names of the rows.
    holders: BTreeMap<u64, BTreeMap<String, u64>>,
    /// The names of the rows in whose queues they are.
    waiters: BTreeMap<u64, BTreeSet<String>>,
}

impl Renewed {
    pub(super) fn note_all(&mut self, entries: &[Arc<Entry>]) {
        self.all.extend(entries.iter().map(|entry| entry.number));
    }

    pub(super) fn note_rows(&mut self, session: &str, rows: &[Row], now: Micros) {
        for row in rows {
            for (of, number, held) in row.holders(now) {
                if let (true, Ok(number)) = (of == session, u64::try_from(number)) {
                    self.holders.entry(number).or_default().insert(row.name.clone(), fence(held));
                }
            }
            for element in row.queue.iter().filter(|element| element.session == session && element.until > now) {
                if let Ok(number) = u64::try_from(element.number) {
                    self.waiters.entry(number).or_default().insert(row.name.clone());
                }
            }
        }
    }

    /// Lets the entries know. Of those that are `locked`, nothing is known. An entry that has held the lock is in the queue as one
    /// that waits never again.
    pub(super) fn note(
        &self,
        entries: &Entries,
        confirmed: &Confirmed,
        locked: &[Arc<Entry>],
        names: &impl Fn(&Entry) -> Vec<String>,
    ) {
        let held = entries.collect(|entry, _, _| {
            let held = self.holders.get(&entry.number)?;
            let fences: Option<Vec<u64>> = names(entry).iter().map(|name| held.get(name).copied()).collect();
            fences.map(|fences| (entry.number, fences))
        });
        for (number, fences) in held {
            if let Some((first, others)) = fences.split_first() {
                entries.get(number, |state| state.show(Status::Held(*first), others));
            }
        }
        let locked: BTreeSet<u64> = locked.iter().map(|entry| entry.number).collect();
        for entry in confirmed.0.iter().filter(|entry| !locked.contains(&entry.number) && !self.is_there(entry)) {
            entries.get(entry.number, |state| state.advance(Status::Removed(ENTRY_GONE)));
        }
    }

    fn is_there(&self, MustBeFound { number, locks, may_wait }: &MustBeFound) -> bool {
        let none = BTreeSet::new();
        let held: BTreeSet<&String> = self.holders.get(number).into_iter().flat_map(BTreeMap::keys).collect();
        let waits = self.waiters.get(number).filter(|_| *may_wait).unwrap_or(&none);
        self.all.contains(number) || held.into_iter().chain(waits).collect::<BTreeSet<_>>().len() >= *locks
    }
}
