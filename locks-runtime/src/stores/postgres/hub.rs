//! What the database tells unasked: whose turn it is, and whose entry was taken away.
//!
//! One connection hears for all sessions. It may break, or stand behind a pool that lets nothing through; then waiters
//! ask instead, until a notification sent to ourselves shows that it hears again.

use super::lane::News;
use super::session::Shared;
use super::slots::Stand;
use super::store::Inner;
use crate::contract::beside;
use crate::world::clock::{Clock, Moment};
use crate::world::random;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio_postgres::types::Type;

/// The sessions of one backend, by name.
pub(super) struct Hub {
    sessions: Mutex<HashMap<String, Weak<Shared>>>,
    hears: watch::Sender<bool>,
    /// What the connection must hear to count as hearing.
    probe: Mutex<String>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { sessions: Mutex::default(), hears: watch::Sender::new(false), probe: Mutex::default() }
    }
}

impl Hub {
    /// Whether hand-overs are heard; the receiver tells when that changes.
    pub(super) fn hears(&self) -> watch::Receiver<bool> {
        self.hears.subscribe()
    }

    pub(super) fn join(&self, session: &Arc<Shared>) {
        self.sessions().insert(session.id.clone(), Arc::downgrade(session));
    }

    pub(super) fn forget(&self, id: &str) {
        self.sessions().remove(id);
    }

    pub(super) fn news(store: &Arc<Inner>, news: News<'_>) {
        match news {
            News::Open => beside(Self::begin(Arc::clone(store))),
            News::Closed => drop(store.hub.hears.send_replace(false)),
            News::Told(payload) => store.hub.told(payload),
        }
    }

    /// After a connection was made: asks what was missed, and finds out whether it hears.
    async fn begin(store: Arc<Inner>) {
        let sessions: Vec<_> = store.hub.sessions().values().filter_map(Weak::upgrade).collect();
        for session in sessions.iter().filter(|session| session.has_entries()) {
            if let Err(error) = session.renew().await {
                tracing::debug!(%error, "a session could not be looked after on a new connection");
            }
        }
        let probe = format!("probe {:016x}", random::bits());
        probe.clone_into(&mut lock(&store.hub.probe));
        // By the other connection: behind a pool both may use one of the server's, and only what comes of itself counts.
        let values = [(&store.table.channel as _, Type::TEXT), (&probe as _, Type::TEXT)];
        if let Err(failure) = store.ask(&store.work, "SELECT pg_notify($1, $2)", &values).await {
            tracing::debug!(error = %crate::values::error::Error::from(failure), "waiters ask instead of listening");
        }
    }

    fn told(&self, payload: &str) {
        if let Some((session, number, stand)) = read(payload, Clock::Boot.now()) {
            let session = self.sessions().get(session).and_then(Weak::upgrade);
            if let Some(session) = session {
                session.slots.place(number, stand);
            }
        } else if payload.starts_with("probe ") && payload == *lock(&self.probe) {
            self.hears.send_replace(true);
        }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Weak<Shared>>> {
        lock(&self.sessions)
    }
}

/// The session and the entry that `payload` is for, and where that one stands now.
pub(super) fn read(payload: &str, now: Moment) -> Option<(&str, u64, Stand)> {
    let words: Vec<&str> = payload.split(' ').collect();
    let (session, number, stand) = match words.as_slice() {
        ["turn", session, number, fence] => (session, number, Stand::Held(fence.parse().ok()?)),
        ["wait", session, number, micros] => {
            let until = now + Duration::from_micros(micros.parse().ok()?);
            (session, number, Stand::Waiting { ahead: 0, until })
        }
        ["gone", session, number] => (session, number, Stand::Removed(TAKEN)),
        _ => return None,
    };
    Some((session, number.parse().ok()?, stand))
}

const TAKEN: &str = "the lock was taken away in the store";

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here panics half way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("hears", &*self.hears.borrow()).finish_non_exhaustive()
    }
}
