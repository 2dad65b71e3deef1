//! A session: the lock files that one client has open.

use super::place::Place;
use super::{Inner, LOOKS};
use crate::contract::poll::{self, Outcome, Rhythm};
use crate::contract::{Entered, Entry, Grant, Native, Pending, Renewal, Session, WhenBusy};
use crate::values::error::Error;
use crate::values::options::Mode;
use crate::world::random;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::convert::Infallible;
use std::future::{pending, ready};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// With the timer's millisecond on top, a hand-off stays below 10 ms.
const RHYTHM: Rhythm = Rhythm { first: Duration::from_millis(1), longest: Duration::from_millis(5) };

/// A kept lock is looked at this often nevertheless: somebody may end it by force.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// How often a holder looks whether its file is still there.
const GUARDED: Duration = Duration::from_millis(250);

/// The session of a [`FileStore`](super::FileStore). It has no TTL of its own: it lasts as long as its process.
#[derive(Debug)]
pub(super) struct FileSession {
    ttl: Duration,
    places: Arc<Places>,
}

impl FileSession {
    pub(super) fn new(store: Arc<Inner>, ttl: Duration) -> Self {
        Self { ttl, places: Arc::new(Places { store, open: Mutex::new(Some(HashMap::new())) }) }
    }

    /// A future that does `work` when polled, with an error that names the lock.
    fn at_once<T: 'static>(
        &self,
        entry: Arc<Entry>,
        work: impl FnOnce(&Places, &Arc<Entry>) -> Result<T, Error> + Send + 'static,
    ) -> Pending<T> {
        let places = Arc::clone(&self.places);
        Box::pin(async move { work(&places, &entry).map_err(|error| error.with_key(&entry.key)) })
    }
}

impl Session for FileSession {
    fn ttl(&self) -> Duration {
        self.ttl
    }

    fn renew(&self) -> Pending<Renewal> {
        let places = Arc::clone(&self.places);
        Box::pin(async move { places.with(|_| Ok(Renewal::complete())) })
    }

    fn enter(&self, entry: Arc<Entry>, when_busy: WhenBusy) -> Pending<Entered> {
        let places = Arc::clone(&self.places);
        Box::pin(async move { places.enter(&entry, when_busy).await.map_err(|error| error.with_key(&entry.key)) })
    }

    fn wait_turn(&self, entry: Arc<Entry>) -> Pending<Grant> {
        let places = Arc::clone(&self.places);
        let key = entry.key.clone();
        Box::pin(async move {
            poll::until_acquired(&places.store.world, RHYTHM, || ready(places.attempt(&entry).map(often_enough)))
                .await
                .map(Grant::new)
                .map_err(|error| error.with_key(&key))
        })
    }

    fn extend(&self, entry: Arc<Entry>, least: Duration) -> Pending<()> {
        self.at_once(entry, move |places, entry| places.at(entry, |place| place.keep(least)))
    }

    fn leave(&self, entry: Arc<Entry>) -> Pending<()> {
        self.at_once(entry, |places, entry| {
            places.leave(entry);
            Ok(())
        })
    }

    fn removed(&self, entry: Arc<Entry>) -> Pending<Infallible> {
        let places = Arc::clone(&self.places);
        Box::pin(async move {
            loop {
                tokio::time::sleep(random::between(GUARDED / 2, GUARDED)).await;
                match places.at(&entry, |place| Ok(place.is_removed())) {
                    Ok(false) => {}
                    Ok(true) => {
                        let why = "the lock's file was deleted or replaced: another may hold the lock now";
                        return Err(Error::lost(why).with_key(&entry.key));
                    }
                    // Left or closed by ourselves.
                    Err(_) => pending().await,
                }
            }
        })
    }

    fn close(&self) -> Pending<()> {
        let places = Arc::clone(&self.places);
        Box::pin(async move {
            places.close();
            Ok(())
        })
    }

    fn native(&self, _: &Entry) -> Native {
        Native::none()
    }
}

fn often_enough(answer: Outcome<u64>) -> Outcome<u64> {
    match answer {
        Outcome::BusyFor(left) => Outcome::BusyFor(left.min(LONGEST_SLEEP)),
        other => other,
    }
}

/// The entries by number; `None` once the session is closed.
#[derive(Debug)]
struct Places {
    store: Arc<Inner>,
    open: Mutex<Option<HashMap<u64, Place>>>,
}

impl Places {
    async fn enter(&self, entry: &Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Error> {
        // A mode more and this does not compile: sharing needs a shared kernel lock.
        let Mode::Exclusive = entry.mode;
        self.join(entry)?;
        let mut looks = 0;
        loop {
            looks += 1;
            let left = match self.attempt(entry)? {
                Outcome::Acquired(fence) => return Ok(Entered::held(fence)),
                Outcome::Busy | Outcome::BusyFor(_) if when_busy == WhenBusy::Queue => return Ok(Entered::Queued),
                Outcome::Busy => None,
                Outcome::BusyFor(left) => Some(left),
            };
            let holder = self.at(entry, |place| place.holder())?;
            if left.is_some() || looks == LOOKS || holder.as_ref().is_some_and(|holder| !self.store.has_ended(holder)) {
                self.leave(entry);
                return Ok(Entered::Busy(self.store.describe(holder, left).into()));
            }
            // Somebody looks who holds it, or takes it and has not signed yet.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn join(&self, entry: &Arc<Entry>) -> Result<(), Error> {
        self.with(|places| {
            if let Slot::Vacant(slot) = places.entry(entry.number) {
                slot.insert(Place::new(&self.store, entry)?);
            }
            Ok(())
        })
    }

    fn attempt(&self, entry: &Entry) -> Result<Outcome<u64>, Error> {
        self.at(entry, Place::attempt)
    }

    fn leave(&self, entry: &Entry) {
        // Closed: it has left already.
        let _ = self.with(|places| Ok(places.remove(&entry.number)));
    }

    fn close(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Does something to the entry's place; `Lost` if it has none.
    fn at<T>(&self, entry: &Entry, work: impl FnOnce(&mut Place) -> Result<T, Error>) -> Result<T, Error> {
        self.with(|places| match places.get_mut(&entry.number) {
            Some(place) => work(place),
            None => Err(Error::lost("the entry has left the line")),
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<u64, Place>) -> Result<T, Error>) -> Result<T, Error> {
        match self.open.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(places) => work(places),
            None => Err(Error::lost("the session is closed")),
        }
    }
}
