//! What a session knows of its entries, and of requests that were never answered.
//!
//! A request whose answer never came may still be carried out, even long after. Every store therefore counts, for each
//! entry, the requests that could put it into the store and are *unresolved*. An entry that leaves with one of them
//! open becomes an *orphan*: a late request may bring it back, without an owner. Orphans are withdrawn again at
//! each renewal for a while; a store that can list what a session has goes on to audit itself now and then.

use super::entry::Entry;
use crate::values::mutex::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// For how many renewals an orphan is looked for each time: about ten TTLs.
const LOOKS: u32 = 30;

/// After these, an audit is due at one renewal of so many.
const RARELY: u32 = 10;

/// The entries of one session, by number, each with what its store needs to know of it (`S`).
#[derive(Debug)]
pub struct Ledger<S>(Mutex<Inner<S>>);

#[derive(Debug)]
struct Inner<S> {
    entries: BTreeMap<u64, Known<S>>,
    orphans: BTreeMap<u64, Orphan>,
    /// Renewals since the last entry was orphaned; `None` if there never was one.
    since_orphaned: Option<u32>,
}

#[derive(Debug)]
struct Known<S> {
    entry: Arc<Entry>,
    state: S,
    unresolved: u32,
    leaving: bool,
}

#[derive(Debug)]
struct Orphan {
    entry: Arc<Entry>,
    looks: u32,
}

/// What a renewal has to look for: see [`Ledger::renewed`].
#[derive(Debug, Default)]
pub struct Orphans {
    /// Entries without an owner that may have come back: to be withdrawn again.
    pub entries: Vec<Arc<Entry>>,
    /// Whether to look through everything that the session has in the store, where that can be listed: a stopped server
    /// may come to life, and to our request, much later.
    pub audit: bool,
}

impl<S> Default for Ledger<S> {
    fn default() -> Self {
        Self(Mutex::new(Inner { entries: BTreeMap::new(), orphans: BTreeMap::new(), since_orphaned: None }))
    }
}

impl<S: Default> Ledger<S> {
    /// Works on the state of `entry`, which is noted first if it is not known.
    pub fn update<T>(&self, entry: &Arc<Entry>, work: impl FnOnce(&mut S) -> T) -> T {
        work(&mut self.0.lock().note(entry).state)
    }

    /// A request that may put `entry` into the store is sent now. It is unresolved until [`resolved`](Ledger::resolved).
    pub fn sent(&self, entry: &Arc<Entry>) {
        self.0.lock().note(entry).unresolved += 1;
    }
}

impl<S> Ledger<S> {
    /// As [`sent`](Ledger::sent), of a request that was handed over before and is unresolved since then. An entry that has left
    /// meanwhile is an orphan already, and stays one.
    #[cfg(feature = "etcd")]
    pub(crate) fn sent_again(&self, number: u64) {
        if let Some(known) = self.0.lock().entries.get_mut(&number) {
            known.unresolved += 1;
        }
    }

    /// A request that was [`sent`](Ledger::sent) had a definite answer: nothing of it is under way any more.
    pub fn resolved(&self, number: u64) {
        if let Some(known) = self.0.lock().entries.get_mut(&number) {
            known.unresolved = known.unresolved.saturating_sub(1);
        }
    }

    /// Whether a request for the entry may still be carried out.
    pub fn is_unresolved(&self, number: u64) -> bool {
        self.0.lock().entries.get(&number).is_some_and(|known| known.unresolved > 0)
    }

    /// Works on the state of an entry, if it is known.
    pub fn get<T>(&self, number: u64, work: impl FnOnce(&mut S) -> T) -> Option<T> {
        self.0.lock().entries.get_mut(&number).map(|known| work(&mut known.state))
    }

    /// As [`get`](Ledger::get), of an entry that is not leaving. Whether it is cannot change during the work.
    pub fn unless_leaving<T>(&self, number: u64, work: impl FnOnce(&mut S) -> T) -> Option<T> {
        let mut inner = self.0.lock();
        inner.entries.get_mut(&number).filter(|known| !known.leaving).map(|known| work(&mut known.state))
    }

    /// Whether the entry is known, leaving or not.
    pub fn contains(&self, number: u64) -> bool {
        self.0.lock().entries.contains_key(&number)
    }

    /// Whether no entry is known.
    pub fn is_empty(&self) -> bool {
        self.0.lock().entries.is_empty()
    }

    /// What `pick` makes of each entry, in order of their numbers; its last argument is whether the entry is leaving.
    pub fn collect<T>(&self, mut pick: impl FnMut(&Arc<Entry>, &mut S, bool) -> Option<T>) -> Vec<T> {
        let mut inner = self.0.lock();
        let known = inner.entries.values_mut();
        known.filter_map(|known| pick(&known.entry, &mut known.state, known.leaving)).collect()
    }

    /// The entry begins to leave; returns what `work` makes of its state, or `None` if it is not known.
    pub fn leaving<T>(&self, number: u64, work: impl FnOnce(&mut S) -> T) -> Option<T> {
        let mut inner = self.0.lock();
        let known = inner.entries.get_mut(&number)?;
        known.leaving = true;
        Some(work(&mut known.state))
    }

    /// Whether the entry is leaving, or has left.
    pub fn is_leaving(&self, number: u64) -> bool {
        self.0.lock().entries.get(&number).is_none_or(|known| known.leaving)
    }

    /// The entry is out of the store. If a request for it is unresolved, it is an orphan from now on.
    pub fn left(&self, number: u64) {
        let mut inner = self.0.lock();
        let Some(known) = inner.entries.remove(&number) else { return };
        if known.unresolved > 0 {
            inner.orphans.insert(number, Orphan { entry: known.entry, looks: LOOKS });
            inner.since_orphaned = Some(0);
        }
    }

    /// Forgets an entry of which nothing can be in the store: no request is unresolved, and `is_absent` says so. Returns whether
    /// it did.
    pub fn forget_if(&self, number: u64, is_absent: impl FnOnce(&S) -> bool) -> bool {
        let mut inner = self.0.lock();
        let known = inner.entries.get(&number);
        let is_forgotten = known.is_some_and(|known| known.unresolved == 0 && is_absent(&known.state));
        if is_forgotten {
            inner.entries.remove(&number);
        }
        is_forgotten
    }

    /// Whether the entry has left, and a request for it may still be carried out.
    pub fn is_orphan(&self, number: u64) -> bool {
        self.0.lock().orphans.contains_key(&number)
    }

    /// The orphans that are still looked for, without counting a renewal.
    pub fn orphans(&self) -> Vec<Arc<Entry>> {
        self.0.lock().orphans.values().map(|orphan| Arc::clone(&orphan.entry)).collect()
    }

    /// An orphan could not be withdrawn, or was found again: it is looked for from the beginning.
    pub fn orphaned_again(&self) {
        self.0.lock().since_orphaned = Some(0);
    }

    /// A renewal was acknowledged: returns what to look for now.
    ///
    /// Each orphan is looked for at the next thirty renewals. Audits are due as often after an entry was orphaned, and never
    /// end, but become rare: one at each tenth renewal.
    pub fn renewed(&self) -> Orphans {
        let mut inner = self.0.lock();
        let Some(since) = &mut inner.since_orphaned else { return Orphans::default() };
        *since = since.saturating_add(1);
        let audit = *since <= LOOKS || since.is_multiple_of(RARELY);
        let entries = inner.orphans.values().map(|orphan| Arc::clone(&orphan.entry)).collect();
        inner.orphans.retain(|_, orphan| {
            orphan.looks -= 1;
            orphan.looks > 0
        });
        Orphans { entries, audit }
    }

    /// Forgets everything: the session is over.
    pub fn clear(&self) {
        let mut inner = self.0.lock();
        inner.entries.clear();
        inner.orphans.clear();
        inner.since_orphaned = None;
    }
}

impl<S: Default> Inner<S> {
    fn note(&mut self, entry: &Arc<Entry>) -> &mut Known<S> {
        self.entries.entry(entry.number).or_insert_with(|| Known {
            entry: Arc::clone(entry),
            state: S::default(),
            unresolved: 0,
            leaving: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::holder::Holder;
    use crate::values::key::Key;

    fn entry(number: u64) -> Arc<Entry> {
        Arc::new(Entry::new(Key::new("a").unwrap(), number, Holder::unknown().into()))
    }

    #[test]
    fn an_answered_entry_leaves_without_a_trace() {
        let ledger = Ledger::<()>::default();
        ledger.sent(&entry(1));
        assert!(ledger.is_unresolved(1) && !ledger.is_empty() && !ledger.is_leaving(1));
        ledger.resolved(1);
        assert!(!ledger.is_unresolved(1));
        ledger.leaving(1, |()| ()).unwrap();
        ledger.left(1);
        assert!(ledger.is_empty() && ledger.is_leaving(1));
        let due = ledger.renewed();
        assert!(due.entries.is_empty() && !due.audit);
    }

    #[test]
    fn an_unanswered_entry_is_looked_for_thirty_times_and_audits_become_rare() {
        let ledger = Ledger::<()>::default();
        ledger.sent(&entry(1));
        ledger.sent(&entry(1));
        ledger.resolved(1);
        assert!(ledger.is_unresolved(1));
        ledger.left(1);
        assert_eq!(ledger.orphans().len(), 1);
        let looks: Vec<Orphans> = (1..=60).map(|_| ledger.renewed()).collect();
        assert_eq!(looks.iter().filter(|due| !due.entries.is_empty()).count(), 30);
        assert!(ledger.orphans().is_empty());
        assert!(looks[..30].iter().all(|due| due.audit && due.entries[0].number == 1));
        assert_eq!(looks[30..].iter().filter(|due| due.audit).count(), 3);
        ledger.orphaned_again();
        assert!(ledger.renewed().audit);
    }

    #[test]
    fn a_session_that_is_over_has_no_entries_and_no_orphans() {
        let ledger = Ledger::<()>::default();
        ledger.sent(&entry(1));
        ledger.left(1);
        ledger.sent(&entry(2));
        ledger.clear();
        assert!(ledger.is_empty() && ledger.orphans().is_empty());
        assert!(!ledger.renewed().audit);
    }

    #[test]
    fn an_entry_that_is_leaving_is_not_worked_on_any_more() {
        let ledger = Ledger::<()>::default();
        ledger.sent(&entry(1));
        assert!(ledger.unless_leaving(1, |()| ()).is_some());
        ledger.leaving(1, |()| ()).unwrap();
        assert!(ledger.unless_leaving(1, |()| ()).is_none() && ledger.get(1, |()| ()).is_some());
    }

    #[test]
    fn only_what_was_never_sent_or_was_refused_is_forgotten() {
        let ledger = Ledger::<bool>::default();
        ledger.sent(&entry(1));
        ledger.forget_if(1, |_| true);
        assert!(ledger.contains(1), "its request is unresolved");
        ledger.resolved(1);
        ledger.update(&entry(1), |is_there| *is_there = true);
        ledger.forget_if(1, |is_there| !*is_there);
        assert!(ledger.contains(1), "it is in the store");
        ledger.forget_if(1, |_| true);
        assert!(!ledger.contains(1));
    }
}
