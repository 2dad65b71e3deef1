//! A session: the entries of one client with one TTL.
//!
//! Redis has nothing like a session. Ours is a number in the tokens of its entries; it lapses, by our own clock, when
//! no renewal was acknowledged for its TTL, and each of its keys does so in the server, no sooner.

use super::batch;
use super::client::Client;
use super::connect::milliseconds;
use super::entries::Status;
use super::part::{Part, Work};
use super::shared::Shared;
use super::subscription::Subscription;
use super::{done, enter, extend, failovers, hand_over, removed, renew, wait};
use crate::contract::{AsyncSession, Detached, Detaching, Entered, Entry, Grant, Native, Renewal, WhenBusy};
use crate::values::error::{Error, ErrorKind};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// The shortest TTL: less would be over before an answer comes.
const SHORTEST: Duration = Duration::from_millis(100);

/// How soon a hold is watched where another server may take the primary's place by itself.
const WATCHED_WITHIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct RedisSession(Arc<Shared>);

impl RedisSession {
    pub(super) async fn open(
        client: Arc<Client>,
        subscription: Arc<Subscription>,
        ttl: Duration,
    ) -> Result<Arc<Self>, Error> {
        let sent = client.world.now();
        client.load_script().await?;
        failovers::follow(&client);
        let ttl = Duration::from_millis(milliseconds(ttl)).max(SHORTEST);
        Ok(Arc::new(Self(Shared::new(client, subscription, ttl, sent))))
    }
}

impl AsyncSession for RedisSession {
    fn ttl(&self) -> Duration {
        self.0.ttl
    }

    /// A failover may have forgotten it, which is found out as soon as another server is the primary.
    fn watched_within(&self) -> Duration {
        if self.0.client.fails_over() { WATCHED_WITHIN } else { Duration::MAX }
    }

    async fn renew(self: Arc<Self>) -> Result<Renewal, Error> {
        renew::renew(&self.0).await
    }

    async fn enter(self: Arc<Self>, entry: Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Error> {
        enter::enter(&self.0, &entry, when_busy).await
    }

    async fn wait_turn(self: Arc<Self>, entry: Arc<Entry>) -> Result<Grant, Error> {
        wait::wait_turn(&self.0, &entry).await
    }

    async fn extend(self: Arc<Self>, entry: Arc<Entry>, least: Duration) -> Result<(), Error> {
        extend::extend(&self.0, &entry, least).await
    }

    async fn lapse(self: Arc<Self>, entry: Arc<Entry>, rest: Duration) -> Result<(), Error> {
        extend::lapse(&self.0, &entry, rest).await
    }

    async fn mark_done(self: Arc<Self>, entry: Arc<Entry>, record: Arc<str>) -> Result<(), Error> {
        done::mark(&self.0, &entry, record).await
    }

    async fn detach(self: Arc<Self>, entry: Arc<Entry>, detaching: Arc<Detaching>) -> Result<Detached, Error> {
        hand_over::detach(&self.0, &entry, &detaching).await
    }

    async fn adopt(self: Arc<Self>, entry: Arc<Entry>, detached: Arc<Detached>) -> Result<Option<Grant>, Error> {
        hand_over::adopt(&self.0, &entry, &detached).await
    }

    async fn leave(self: Arc<Self>, entry: Arc<Entry>) -> Result<(), Error> {
        let ledger = &self.0.entries.ledger;
        // From now on each renewal withdraws it too, until the server has confirmed that it is out.
        let is_unqueued = ledger.leaving(entry.number, |state| {
            state.note(Status::Leaving);
            state.is_unqueued
        });
        // What was refused was never there. Of what lapses, and after the session, nothing is known, and it may be.
        if is_unqueued.is_none() && entry.has_left() {
            return Ok(());
        }
        let part = Part::new(self.0.locks(&entry)?, Work::Leave { token: self.0.token(&entry) });
        let response = match is_unqueued {
            Some(true) => batch::carry_out(&self.0.client, part).await,
            _ => batch::alone(&self.0.client, &part, false).await,
        };
        if let Err(error) = response.result {
            if error.kind() == ErrorKind::Unauthorized && !entry.others.is_empty() {
                leave_each(&self.0, &entry).await;
            }
            return Err(error);
        }
        ledger.left(entry.number);
        Ok(())
    }

    async fn removed(self: Arc<Self>, entry: Arc<Entry>) -> Result<Infallible, Error> {
        let shared = Arc::clone(&self.0);
        drop(self);
        removed::removed(shared, &entry).await
    }

    async fn close(self: Arc<Self>) -> Result<(), Error> {
        self.0.close();
        renew::withdraw_all(&self.0).await?;
        self.0.entries.ledger.clear();
        Ok(())
    }

    fn native(&self, _: &Entry) -> Native {
        Native::none()
    }
}

/// A right to one of its locks is missing: the entry leaves each of the others by itself.
async fn leave_each(shared: &Shared, entry: &Entry) {
    let locks = shared.locks(entry).unwrap_or_default();
    for (key, lock) in entry.keys().zip(locks) {
        let part = Part::new(vec![lock], Work::Leave { token: shared.token(entry) });
        if batch::alone(&shared.client, &part, false).await.result.is_ok() {
            entry.note_left(key);
        }
    }
}
