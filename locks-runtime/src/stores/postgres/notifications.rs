//! The notifications that the database sends to all sessions of a client: whose turn it is, and whose entry was removed.
//!
//! One connection receives them. It may break, or go through a pool that forwards none; then waiters poll, until a
//! notification that the client sends to itself shows that they arrive again. The next request on that connection opens it
//! anew (`connection`), which sends `LISTEN` again (`servers`) and catches up on what was missed (`client`).

use super::entries::{Entries, Status};
use super::error::RELEASED_BY_FORCE;
use crate::contract::Pending;
use crate::values::mutex::Mutex;
use crate::values::target::TARGET;
use crate::world::clock::Moment;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Weak;
use std::time::Duration;
use tokio::sync::watch;

/// The sessions that notifications are for, and whether any arrive.
#[derive(Default)]
pub(super) struct Notifications {
    sessions: Mutex<BTreeMap<String, Subscriber>>,
    arrive: watch::Sender<bool>,
    /// The payload that shows, when it is received, that notifications arrive.
    probe: Mutex<String>,
}

/// A session that receives notifications.
pub(super) struct Subscriber {
    pub(super) entries: Weak<Entries>,
    /// Finds out what the session missed while no connection received notifications.
    pub(super) catch_up: Box<dyn Fn() -> Pending<()> + Send + Sync>,
}

impl Notifications {
    pub(super) fn subscribe(&self, session: &str, subscriber: Subscriber) {
        self.sessions.lock().insert(session.to_owned(), subscriber);
    }

    pub(super) fn unsubscribe(&self, session: &str) {
        self.sessions.lock().remove(session);
    }

    /// Whether notifications arrive, and when that changes.
    pub(super) fn arrive(&self) -> watch::Receiver<bool> {
        self.arrive.subscribe()
    }

    /// The connection that received them broke.
    pub(super) fn stopped(&self) {
        self.arrive.send_replace(false);
    }

    /// Lets every session find out what it missed.
    pub(super) async fn catch_up(&self) {
        let sessions: Vec<Pending<()>> =
            self.sessions.lock().values().map(|subscriber| (subscriber.catch_up)()).collect();
        for session in sessions {
            if let Err(error) = session.await {
                tracing::debug!(target: TARGET, error = %error.chain(), "a session could not be renewed on a new connection");
            }
        }
    }

    /// Expects a notification with random `bits`, and returns its payload.
    pub(super) fn expect_probe(&self, bits: u64) -> String {
        let probe = format!("probe {bits:016x}");
        probe.clone_into(&mut self.probe.lock());
        probe
    }

    pub(super) fn receive(&self, payload: &str, now: Moment) {
        if let Some((session, number, status)) = read(payload, now) {
            let entries = self.sessions.lock().get(session).and_then(|subscriber| subscriber.entries.upgrade());
            if let Some(entries) = entries {
                entries.get(number, |state| state.advance(status));
            }
        } else if payload.starts_with("probe ") && payload == *self.probe.lock() {
            self.arrive.send_replace(true);
        }
    }
}

/// The session and the number of the entry that `payload` is for, and that entry's status now.
pub(super) fn read(payload: &str, now: Moment) -> Option<(&str, u64, Status)> {
    let words: Vec<&str> = payload.split(' ').collect();
    let (session, number, status) = match words.as_slice() {
        ["turn", session, number, fence] => (session, number, Status::Held(fence.parse().ok()?)),
        ["wait", session, number, micros] => {
            let until = now + Duration::from_micros(micros.parse().ok()?);
            (session, number, Status::Queued { ahead: 0, until })
        }
        ["gone", session, number] => (session, number, Status::Removed(RELEASED_BY_FORCE)),
        _ => return None,
    };
    Some((session, number.parse().ok()?, status))
}

impl fmt::Debug for Notifications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifications").field("arrive", &*self.arrive.borrow()).finish_non_exhaustive()
    }
}
