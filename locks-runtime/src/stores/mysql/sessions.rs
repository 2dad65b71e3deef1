//! The sessions of this client, so that what one of them releases goes directly to another, and which of them wait.

use super::entries::{Entries, EntryState, Status};
use super::row::{Row, fence};
use crate::contract::Entry;
use crate::values::mutex::Mutex;
use crate::world::clock::Moment;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::Notify;

/// The sessions that are open.
#[derive(Default)]
pub(super) struct Sessions {
    entries: Mutex<BTreeMap<String, Weak<Entries>>>,
    /// Something waits that did not before, or is to be looked at sooner.
    pub(super) changed: Notify,
    /// Whether a task looks for those that wait.
    is_looked_at: AtomicBool,
}

impl Sessions {
    pub(super) fn open(&self, session: &str, entries: &Arc<Entries>) {
        self.entries.lock().insert(session.to_owned(), Arc::downgrade(entries));
    }

    pub(super) fn close(&self, session: &str) {
        self.entries.lock().remove(session);
    }

    /// Whether nobody looks for those that wait; from now on the caller does.
    pub(super) fn begin_to_look(&self) -> bool {
        !self.is_looked_at.swap(true, Ordering::AcqRel)
    }

    pub(super) fn stop_looking(&self) {
        self.is_looked_at.store(false, Ordering::Release);
    }

    /// The entries that wait, each with its session and the moment at which to look at it.
    pub(super) fn waiting(&self, now: Moment) -> Vec<(String, Arc<Entries>, Arc<Entry>, Moment)> {
        let sessions = self.entries.lock();
        let open = sessions.iter().filter_map(|(session, entries)| Some((session, entries.upgrade()?)));
        let waiting = open.flat_map(|(session, entries)| {
            let of_session = entries.collect(|entry, state, is_leaving| match state.status() {
                Status::Queued { .. } if !is_leaving => Some((Arc::clone(entry), state.look_at.unwrap_or(now))),
                _ => None,
            });
            of_session.into_iter().map(move |(entry, at)| (session.clone(), Arc::clone(&entries), entry, at))
        });
        waiting.collect()
    }

    /// Lets the sessions know what becomes of their entries by a change of this client's to a row.
    pub(super) fn show_row(&self, before: &Row, after: &Row, now: i64, why_gone: &'static str) {
        let (were, are) = (before.holders(EVER), after.holders(now));
        for &(session, number, held) in &are {
            self.of(session, number, |state| {
                if state.is_several {
                    state.look_at = None;
                    self.changed.notify_one();
                } else {
                    state.advance(Status::Held(fence(held)));
                }
            });
        }
        for &(session, number, _) in &were {
            if !are.iter().any(|(other, held, _)| *other == session && *held == number) {
                self.of(session, number, |state| {
                    if matches!(state.status(), Status::Held(_)) {
                        state.advance(Status::Removed(why_gone));
                    }
                });
            }
        }
    }

    fn of(&self, session: &str, number: i64, work: impl FnOnce(&mut EntryState)) {
        let entries = self.entries.lock().get(session).and_then(Weak::upgrade);
        if let (Some(entries), Ok(number)) = (entries, u64::try_from(number)) {
            entries.get(number, work);
        }
    }
}

/// Before everything that lapses.
const EVER: i64 = i64::MIN;

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("open", &self.entries.lock().len()).finish_non_exhaustive()
    }
}
