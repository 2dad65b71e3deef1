//! What the futures of one session share.

use super::client::Client;
use super::entries::Entries;
use super::error;
use super::names;
use super::request::{Request, Response};
use super::subscription::Subscription;
use crate::contract::Entry;
use crate::values::error::Error;
use crate::world::clock::{AtomicMoment, Moment};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What the futures of one session share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) client: Arc<Client>,
    pub(super) subscription: Arc<Subscription>,
    pub(super) entries: Arc<Entries>,
    pub(super) ttl: Duration,
    id: u64,
    /// When the last renewal was sent that was acknowledged.
    renewed_at: AtomicMoment,
    closed: AtomicBool,
    /// How many connections were over at the last renewal.
    pub(super) disconnected: AtomicU64,
    /// Whether a task polls for the queued entries.
    pub(super) polls: AtomicBool,
}

impl Shared {
    /// A session that was opened by a request sent at `opened_at`.
    pub(super) fn new(
        client: Arc<Client>,
        subscription: Arc<Subscription>,
        ttl: Duration,
        opened_at: Moment,
    ) -> Arc<Self> {
        let (id, entries) = (client.world.bits(), Arc::default());
        subscription.register(id, &entries);
        Arc::new(Self {
            client,
            subscription,
            entries,
            ttl,
            id,
            renewed_at: AtomicMoment::new(opened_at),
            closed: AtomicBool::new(false),
            disconnected: AtomicU64::new(0),
            polls: AtomicBool::new(false),
        })
    }

    /// Returns `Lost` if the session was closed, or lapsed: whatever may still be in the store is not to be counted on.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::lost(error::SESSION_CLOSED));
        }
        if self.client.world.now().since(self.renewed_at.load()) >= self.ttl {
            return Err(Error::lost(error::SESSION_LAPSED));
        }
        Ok(())
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// A renewal of all entries, sent at `sent`, was acknowledged.
    pub(super) fn renewed(&self, sent: Moment) {
        self.renewed_at.advance(sent);
    }

    /// The names of the entry's locks in the store.
    pub(super) fn locks(&self, entry: &Entry) -> Result<Vec<String>, Error> {
        entry.keys().map(|key| names::lock(&self.client.config.namespace, key)).collect()
    }

    pub(super) fn token(&self, entry: &Entry) -> String {
        names::token(self.client.id, self.id, entry)
    }

    /// Runs a command of the script on these locks.
    pub(super) async fn run(&self, command: &'static str, locks: Vec<String>, arguments: Vec<Vec<u8>>) -> Response {
        self.client.run(&Request { command, locks, arguments }).await
    }
}
