//! The notifications that the database sends to all sessions of a client: whose turn it is, and whose entry was removed.
//! They are hints to look, for there are no rights on a channel: whoever may connect to the database may send one.
//!
//! One connection receives them. It may break, or go through a pool that forwards none; then waiters poll, until a
//! notification that the client sends to itself shows that they arrive again. The next request on that connection opens it
//! anew (`connection`), which sends `LISTEN` again (`servers`) and catches up on what was missed (`client`).

use super::entries::{Entries, Hint};
use crate::contract::Pending;
use crate::values::mutex::Mutex;
use crate::values::target::TARGET;
use crate::world::clock::Moment;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The sessions that notifications are for, and whether any arrive.
#[derive(Default)]
pub(super) struct Notifications {
    sessions: Mutex<BTreeMap<String, Subscriber>>,
    arrive: AtomicBool,
    /// That changes. (tokio's `watch` wakes its receivers in a random order, and a schedule would not repeat itself.)
    changes: Notify,
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

    /// Whether notifications arrive.
    pub(super) fn arrive(&self) -> bool {
        self.arrive.load(Ordering::Acquire)
    }

    /// Returns when that changes after this call.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changes.notified()
    }

    /// They do not arrive any more; returns whether they did.
    pub(super) fn stopped(&self) -> bool {
        self.set(false)
    }

    fn set(&self, arrive: bool) -> bool {
        let did = self.arrive.swap(arrive, Ordering::AcqRel);
        if did != arrive {
            self.changes.notify_waiters();
        }
        did
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
        if let Some((session, number, hint)) = read(payload, now) {
            let entries = self.sessions.lock().get(session).and_then(|subscriber| subscriber.entries.upgrade());
            if let Some(entries) = entries {
                entries.get(number, |state| state.hint(hint));
            }
        } else if payload.starts_with("probe ") {
            let mut probe = self.probe.lock();
            if payload == *probe {
                // Others have seen it too.
                probe.clear();
                self.set(true);
            }
        }
    }
}

/// The session and the number of the entry that `payload` is for, and what it hints at.
pub(super) fn read(payload: &str, now: Moment) -> Option<(&str, u64, Hint)> {
    // The fence behind a turn is for other versions of this crate: whoever sent it may have made it up.
    let mut words = payload.splitn(5, ' ');
    let (what, session, number, rest) = (words.next()?, words.next()?, words.next()?, words.next());
    let hint = match (what, rest, words.next()) {
        ("turn", Some(_), None) => Hint::Turn,
        ("wait", Some(micros), None) => Hint::Wait(now + Duration::from_micros(micros.parse().ok()?)),
        ("gone", None, None) => Hint::Gone,
        _ => return None,
    };
    Some((session, number.parse().ok()?, hint))
}

impl fmt::Debug for Notifications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifications").field("arrive", &self.arrive()).finish_non_exhaustive()
    }
}
