//! What is in the store, as the torture sees it, and what appears and disappears there.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::clock::{Nanos, nanos, now};
use crate::history::{EventKind, Recorder};

/// A store that is well answers sooner.
const SILENCE: Duration = Duration::from_millis(500);

/// An entry in a store: of a holder or of a waiter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// A name that no other entry has.
    pub name: String,
    /// The lock.
    pub key: String,
    /// The process that owns it.
    pub pid: u32,
    /// The request that it belongs to, if the store shows which entries are of one.
    pub request: Option<String>,
}

/// The entries that were there when the store was last looked at.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    recorder: &'a Recorder,
    known: BTreeMap<String, Nanos>,
}

impl<'a> Seen<'a> {
    pub(super) fn new(recorder: &'a Recorder) -> Self {
        Self { recorder, known: BTreeMap::new() }
    }

    /// Records what has appeared and disappeared, and whether the store was silent. `requested` is when it was asked; it has
    /// not answered if there is nothing.
    pub(super) fn update(&mut self, requested: Nanos, entries: Option<Vec<Entry>>) {
        if entries.is_none() || now() - requested > nanos(SILENCE) {
            self.recorder.record(EventKind::StoreSilent { requested });
        }
        let Some(entries) = entries else { return };
        let present: BTreeMap<String, Entry> = entries.into_iter().map(|entry| (entry.name.clone(), entry)).collect();
        for entry in present.values().filter(|entry| !self.known.contains_key(&entry.name)) {
            let Entry { name, key, pid, request } = entry.clone();
            self.recorder.record(EventKind::EntryAppeared { entry: name, key, pid, request });
        }
        for (entry, last_seen) in self.known.iter().filter(|(name, _)| !present.contains_key(*name)) {
            let (entry, last_seen) = (entry.clone(), *last_seen);
            self.recorder.record(EventKind::EntryDisappeared { entry, last_seen });
        }
        // It was certainly there when the request was sent.
        self.known = present.into_keys().map(|name| (name, requested)).collect();
    }
}

/// What the record of an entry has about its owner, whichever lock wrote it.
#[derive(Deserialize)]
struct Owner {
    pid: u32,
}

/// The process in a record.
pub(super) fn pid_in(record: &str) -> Option<u32> {
    serde_json::from_str::<Owner>(record).ok().map(|owner| owner.pid)
}
