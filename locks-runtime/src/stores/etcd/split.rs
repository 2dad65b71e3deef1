//! A session of a user: several leases, each with a bounded number of keys.
//!
//! With users, the keys of one lease share a fate. etcd from 3.5.28, 3.6.9 and 3.7 on renews a lease only for a user who
//! may write every key of it, and looks at all of them for each key that is added. So one lease for everything would make
//! acquiring slow where much is held, and one right that is revoked would lose it all.

use super::client::Client;
use super::error::LEASE_GONE;
use super::identity::Era;
use super::lease;
use super::shared::Shared;
use crate::contract::{AsyncSession, Detached, Detaching, Entered, Entry, Grant, Native, Renewal, Uncovered, WhenBusy};
use crate::values::end::{EndReason, EndSignal};
use crate::values::error::{Error, ErrorKind};
use crate::values::mutex::Mutex;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Future, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, mpsc};

/// How many entries one lease has at most. A renewal of 10,000 is then 157 requests, and an acquire looks at 64 rights.
const ENTRIES: usize = 64;

/// How many leases in a row may turn out to be gone when an entry is put on them.
const GONE: u32 = 64;

/// A session of several leases.
#[derive(Debug)]
pub(super) struct Split {
    client: Arc<Client>,
    era: Era,
    ttl: Duration,
    parts: Mutex<Parts>,
    /// One caller at a time adds a part.
    adding: AsyncMutex<()>,
}

#[derive(Debug, Default)]
struct Parts {
    all: Vec<Part>,
    by_entry: BTreeMap<u64, Part>,
    /// Why there will be no other part: the session was closed, or has lost all that it had.
    ended: Option<Arc<str>>,
}

/// One lease, and what this process has in the store under it.
#[derive(Clone, Debug)]
struct Part {
    session: Arc<Shared>,
    state: Arc<PartState>,
}

#[derive(Debug, Default)]
struct PartState {
    /// How many entries there are, counted where all parts are locked.
    entries: AtomicUsize,
    /// The lease is gone, or the user may not write one of its keys any more: nothing is added before the next renewal.
    is_refused: AtomicBool,
    /// A renewal has shown that the lease is gone.
    lost: EndSignal,
}

impl Split {
    pub(super) async fn open(client: Arc<Client>, era: Era, ttl: Duration) -> Result<Self, Error> {
        let first = Part::open(&client, era, ttl).await?;
        let ttl = first.session.ttl;
        let parts = Mutex::new(Parts { all: vec![first], ..Parts::default() });
        Ok(Self { client, era, ttl, parts, adding: AsyncMutex::default() })
    }

    /// The part for an entry, which stays in it. With `alone`, one that has no other.
    async fn place(&self, entry: &Entry, alone: bool) -> Result<Part, Error> {
        let most = if alone { 0 } else { ENTRIES - 1 };
        if let Some(part) = self.parts.lock().place(entry.number, most)? {
            return Ok(part);
        }
        let _one_at_a_time = self.adding.lock().await;
        if let Some(part) = self.parts.lock().place(entry.number, most)? {
            return Ok(part);
        }
        let part = Part::open(&self.client, self.era, self.ttl).await?;
        self.parts.lock().add(entry.number, &part).inspect_err(|_| self.close_part(part.clone()))?;
        Ok(part)
    }

    /// Enters with a lease that is there; with `alone`, one that has no other entry. One that is gone concerns those who have it, as
    /// the next renewal will show, and what an earlier request may have put on it is gone with it.
    async fn enter_living(
        &self,
        entry: &Arc<Entry>,
        when_busy: WhenBusy,
        alone: bool,
    ) -> Result<(Part, Result<Entered, Error>), Error> {
        for _ in 0..GONE {
            let part = self.place(entry, alone).await?;
            match Arc::clone(&part.session).enter(Arc::clone(entry), when_busy).await {
                Err(error) if error.kind() == ErrorKind::Lost && part.session.is_in_its_era() => {
                    part.state.is_refused.store(true, Ordering::Relaxed);
                    self.forget(entry.number);
                }
                entered => return Ok((part, entered)),
            }
        }
        Err(Error::unavailable(LEASE_GONE))
    }

    /// The part that has the entry.
    fn part_of(&self, number: u64) -> Option<Part> {
        let parts = self.parts.lock();
        let known = || parts.all.iter().find(|part| part.session.entries.contains(number));
        parts.by_entry.get(&number).or_else(known).cloned()
    }

    fn forget(&self, number: u64) {
        if let Some(part) = self.parts.lock().by_entry.remove(&number) {
            part.state.entries.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// What `work` returns of each part, all at once.
    fn of_all<T, Working>(&self, work: impl Fn(Arc<Shared>) -> Working) -> mpsc::Receiver<(Part, T)>
    where
        T: Send + 'static,
        Working: Future<Output = T> + Send + 'static,
    {
        let parts = self.parts.lock().all.clone();
        let (results, receiver) = mpsc::channel(parts.len().max(1));
        for part in parts {
            let (working, results) = (work(Arc::clone(&part.session)), results.clone());
            self.client.world.spawn(async move { drop(results.send((part, working.await)).await) });
        }
        receiver
    }

    /// The part's lease is gone: its holds end at once, and the renewal of the others does not cover them.
    fn lose(&self, part: &Part, error: &Error) -> Vec<Uncovered> {
        part.state.lost.end(EndReason::SessionLost(error.to_string().into()));
        let mut parts = self.parts.lock();
        parts.all.retain(|other| !other.is(part));
        let lost = parts.by_entry.iter().filter(|(_, other)| other.is(part));
        lost.map(|(number, _)| Uncovered::new(*number, Error::lost(error.to_string()))).collect()
    }

    /// Ends the leases that have no entries, but for one.
    fn drop_empty(&self) {
        let mut parts = self.parts.lock();
        let is_used = |part: &Part| part.count() > 0 || !part.session.entries.is_empty();
        let (used, mut empty): (Vec<Part>, Vec<Part>) = parts.all.drain(..).partition(is_used);
        parts.all = used;
        parts.all.extend(empty.pop());
        // Late requests fail with the lease.
        empty.into_iter().for_each(|part| self.close_part(part));
    }

    /// If its lease is not revoked, it expires.
    fn close_part(&self, part: Part) {
        self.client.world.spawn(async move { drop(part.session.close().await) });
    }

    /// From now on, nothing enters. What is under way fails with its lease.
    fn end(&self, reason: &str) {
        self.parts.lock().ended.get_or_insert_with(|| reason.into());
    }
}

impl AsyncSession for Split {
    fn ttl(&self) -> Duration {
        self.ttl
    }

    async fn renew(self: Arc<Self>) -> Result<Renewal, Error> {
        self.parts.lock().check()?;
        self.drop_empty();
        let (mut uncovered, mut renewed, mut failure) = (Vec::new(), 0, None);
        let mut renewals = self.of_all(|session| session.renew());
        while let Some((part, renewal)) = renewals.recv().await {
            match renewal {
                Ok(renewal) => {
                    renewed += 1;
                    part.state.is_refused.store(false, Ordering::Relaxed);
                    uncovered.extend(renewal.uncovered);
                }
                Err(error) if error.kind() == ErrorKind::Lost => {
                    uncovered.extend(self.lose(&part, &error));
                    failure.get_or_insert(error);
                }
                // Those that were renewed are renewed again with it.
                Err(error) => return Err(error),
            }
        }
        match failure {
            Some(error) if renewed == 0 => {
                self.end(&error.to_string());
                Err(error)
            }
            _ => Ok(Renewal::partial(uncovered)),
        }
    }

    async fn enter(self: Arc<Self>, entry: Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Error> {
        let (part, entered) = self.enter_living(&entry, when_busy, false).await?;
        let (part, entered) = match entered {
            Err(error) if error.kind() == ErrorKind::Unauthorized && part.may_be_to_blame(&entry) => {
                self.forget(entry.number);
                let (alone, entered) = self.enter_living(&entry, when_busy, true).await?;
                part.state.is_refused.store(entered.is_ok(), Ordering::Relaxed);
                (alone, entered)
            }
            entered => (part, entered),
        };
        if matches!(entered, Ok(Entered::Busy(_))) || !part.session.entries.contains(entry.number) {
            self.forget(entry.number);
        }
        entered
    }

    async fn wait_turn(self: Arc<Self>, entry: Arc<Entry>) -> Result<Grant, Error> {
        let part = self.part_of(entry.number).ok_or_else(unknown)?;
        tokio::select! {
            biased;
            reason = part.state.lost.wait() => Err(Error::lost(reason.to_string())),
            granted = Arc::clone(&part.session).wait_turn(entry) => granted,
        }
    }

    async fn extend(self: Arc<Self>, entry: Arc<Entry>, least: Duration) -> Result<(), Error> {
        self.part_of(entry.number).ok_or_else(unknown)?.session.extend(entry, least).await
    }

    async fn lapse(self: Arc<Self>, entry: Arc<Entry>, rest: Duration) -> Result<(), Error> {
        let number = entry.number;
        self.part_of(number).ok_or_else(unknown)?.session.lapse(entry, rest).await?;
        // Its key is on a lease of its own now.
        self.forget(number);
        Ok(())
    }

    async fn mark_done(self: Arc<Self>, entry: Arc<Entry>, record: Arc<str>) -> Result<(), Error> {
        self.part_of(entry.number).ok_or_else(unknown)?.session.mark_done(entry, record).await
    }

    async fn detach(self: Arc<Self>, entry: Arc<Entry>, detaching: Arc<Detaching>) -> Result<Detached, Error> {
        let number = entry.number;
        let detached = self.part_of(number).ok_or_else(unknown)?.session.detach(entry, detaching).await?;
        self.forget(number);
        Ok(detached)
    }

    async fn adopt(self: Arc<Self>, entry: Arc<Entry>, detached: Arc<Detached>) -> Result<Option<Grant>, Error> {
        let part = self.place(&entry, false).await?;
        let adopted = Arc::clone(&part.session).adopt(Arc::clone(&entry), detached).await;
        if !part.session.entries.contains(entry.number) {
            self.forget(entry.number);
        }
        adopted
    }

    async fn leave(self: Arc<Self>, entry: Arc<Entry>) -> Result<(), Error> {
        let number = entry.number;
        // One that was never sent, or has left, is in no part.
        if let Some(part) = self.part_of(number) {
            part.session.leave(entry).await?;
        }
        self.forget(number);
        Ok(())
    }

    async fn removed(self: Arc<Self>, entry: Arc<Entry>) -> Result<Infallible, Error> {
        let Some(part) = self.part_of(entry.number) else { return pending().await };
        tokio::select! {
            biased;
            reason = part.state.lost.wait() => Err(Error::lost(reason.to_string())),
            removed = Arc::clone(&part.session).removed(entry) => removed,
        }
    }

    async fn close(self: Arc<Self>) -> Result<(), Error> {
        self.end("the session was closed");
        let mut closed = self.of_all(|session| session.close());
        let mut result = Ok(());
        while let Some((_, one)) = closed.recv().await {
            result = result.and(one);
        }
        result
    }

    fn native(&self, entry: &Entry) -> Native {
        self.part_of(entry.number).map_or_else(Native::none, |part| part.session.native(entry))
    }
}

fn unknown() -> Error {
    Error::lost("the entry is in no lease of the session")
}

impl Parts {
    /// A part that has the entry already, or at `most` so many others.
    fn place(&mut self, number: u64, most: usize) -> Result<Option<Part>, Error> {
        if let Some(part) = self.by_entry.get(&number) {
            return Ok(Some(part.clone()));
        }
        self.check()?;
        let has_room = |part: &&Part| part.count() <= most && !part.state.is_refused.load(Ordering::Relaxed);
        let part = self.all.iter().find(has_room).cloned();
        Ok(part.map(|part| self.note(number, &part)))
    }

    /// A new part, for this entry.
    fn add(&mut self, number: u64, part: &Part) -> Result<(), Error> {
        self.check()?;
        self.all.push(part.clone());
        self.note(number, part);
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        self.ended.as_deref().map_or(Ok(()), |reason| Err(Error::lost(reason)))
    }

    fn note(&mut self, number: u64, part: &Part) -> Part {
        part.state.entries.fetch_add(1, Ordering::Relaxed);
        self.by_entry.insert(number, part.clone());
        part.clone()
    }
}

impl Part {
    async fn open(client: &Arc<Client>, era: Era, ttl: Duration) -> Result<Self, Error> {
        let granted = lease::grant_new(client, ttl).await?;
        let session = Arc::new(Shared::new(Arc::clone(client), era, granted));
        Ok(Self { session, state: Arc::default() })
    }

    fn count(&self) -> usize {
        self.state.entries.load(Ordering::Relaxed)
    }

    /// Whether the entry may have been refused because of another key of the lease, and no request for it is under way.
    fn may_be_to_blame(&self, entry: &Entry) -> bool {
        self.count() > 1 && !self.session.entries.contains(entry.number)
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.session, &other.session)
    }
}
