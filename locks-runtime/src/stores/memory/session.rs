//! A session: the entries of one client with one TTL.

use super::done;
use super::hand_over;
use super::shared::{Lapses, Shared};
use super::state::State;
#[cfg(any(test, feature = "testing"))]
use crate::contract::Uncovered;
use crate::contract::{AsyncSession, Detached, Detaching, Entered, Entry, Grant, Native, Renewal, WhenBusy};
use crate::values::error::Error;
use crate::world::clock::Moment;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct MemorySession {
    shared: Arc<Shared>,
    id: u64,
    ttl: Duration,
}

impl MemorySession {
    pub(super) fn new(shared: Arc<Shared>, id: u64, ttl: Duration) -> Self {
        Self { shared, id, ttl }
    }

    /// The entries of this session whose renewal a test has blocked.
    #[cfg(any(test, feature = "testing"))]
    fn blocked(&self, state: &State) -> Vec<Uncovered> {
        if !self.shared.faults.blocks_renewals() {
            return Vec::new();
        }
        let places = state.queues.iter().filter(|(key, _)| self.shared.faults.blocks_renewal_of(key));
        let own = places.flat_map(|(_, queue)| &queue.places).filter(|place| place.session == self.id);
        own.map(|place| Uncovered::new(place.number(), Error::unavailable("the entry is blocked: a test said so")))
            .collect()
    }

    #[cfg(not(any(test, feature = "testing")))]
    fn blocked(&self, _: &State) -> Vec<crate::contract::Uncovered> {
        Vec::new()
    }
}

impl AsyncSession for MemorySession {
    fn ttl(&self) -> Duration {
        self.ttl
    }

    async fn renew(self: Arc<Self>) -> Result<Renewal, Error> {
        let renew = |state: &mut State, now| {
            let uncovered = self.blocked(state);
            let numbers: Vec<u64> = uncovered.iter().map(|entry| entry.number).collect();
            state.renew(self.id, now + self.ttl, &numbers)?;
            Ok(Renewal::partial(uncovered))
        };
        self.shared.request(renew).await
    }

    async fn enter(self: Arc<Self>, entry: Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Error> {
        self.shared.room()?;
        self.shared.request(|state, now| state.enter(self.id, &entry, when_busy, now)).await
    }

    async fn wait_turn(self: Arc<Self>, entry: Arc<Entry>) -> Result<Grant, Error> {
        let held = |state: &mut State| match state.is_there(self.id, &entry) {
            true => state.grant_of(self.id, &entry).map(Ok),
            false => Some(Err(Error::lost(REMOVED))),
        };
        self.shared.until(&entry.key, Lapses::Awaited, held).await
    }

    async fn extend(self: Arc<Self>, entry: Arc<Entry>, least: Duration) -> Result<(), Error> {
        self.shared.room()?;
        let extend = |state: &mut State, now| {
            let until = state.lapses(now + least);
            if state.extend(self.id, &entry, until) { Ok(()) } else { Err(Error::lost(REMOVED)) }
        };
        self.shared.request(extend).await
    }

    async fn lapse(self: Arc<Self>, entry: Arc<Entry>, rest: Duration) -> Result<(), Error> {
        self.shared.release()?;
        let lapse = |state: &mut State, now| {
            let until = state.lapses(now + rest);
            if state.lapse(self.id, &entry, until, now) { Ok(()) } else { Err(Error::lost(REMOVED)) }
        };
        self.shared.request(lapse).await
    }

    async fn mark_done(self: Arc<Self>, entry: Arc<Entry>, record: Arc<str>) -> Result<(), Error> {
        done::mark(&self.shared, self.id, &entry, record).await
    }

    async fn detach(self: Arc<Self>, entry: Arc<Entry>, detaching: Arc<Detaching>) -> Result<Detached, Error> {
        hand_over::detach(&self.shared, self.id, &entry, &detaching).await
    }

    async fn adopt(self: Arc<Self>, entry: Arc<Entry>, detached: Arc<Detached>) -> Result<Option<Grant>, Error> {
        hand_over::adopt(&self.shared, self.id, &entry, &detached).await
    }

    async fn leave(self: Arc<Self>, entry: Arc<Entry>) -> Result<(), Error> {
        self.shared.release()?;
        let leave = |state: &mut State, now: &dyn Fn() -> Moment| {
            if !state.leave_alone(self.id, &entry) {
                state.leave(self.id, &entry, now());
            }
            Ok(())
        };
        self.shared.request_untimed(leave).await
    }

    async fn removed(self: Arc<Self>, entry: Arc<Entry>) -> Result<Infallible, Error> {
        let gone = |state: &mut State| match (state.is_there(self.id, &entry), state.session(self.id)) {
            (true, _) => None,
            (false, Ok(session)) if !session.removed.contains(&entry.number) => None,
            (false, _) => Some(Err(Error::lost("the lock was released by force in the store"))),
        };
        // Its session's renewals notice what lapses.
        self.shared.until(&entry.key, Lapses::Noticed, gone).await
    }

    async fn close(self: Arc<Self>) -> Result<(), Error> {
        let close = |state: &mut State, now| {
            state.sessions.remove(&self.id);
            state.sweep_all(now);
            Ok(())
        };
        self.shared.request(close).await
    }

    fn native(&self, _: &Entry) -> Native {
        Native::none()
    }
}

const REMOVED: &str = "the entry was removed from the queue";
