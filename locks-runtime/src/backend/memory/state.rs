//! What the memory store keeps: sessions, and a line for each lock that somebody stands at.

use crate::backend::{Change, Entry, Scope};
use crate::clock::Moment;
use crate::error::Error;
use crate::holder::Holder;
use crate::key::Key;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use tokio::sync::{Notify, mpsc};

#[derive(Debug)]
pub(super) struct State {
    pub(super) counter: u64,
    pub(super) sessions: BTreeMap<u64, Alive>,
    pub(super) lines: HashMap<Key, Standings>,
    pub(super) watchers: Vec<(Scope, mpsc::Sender<Change>)>,
    /// Nothing lapses before this: until then a request touches only its own line.
    pub(super) next_lapse: Moment,
}

/// A session that has not lapsed.
#[derive(Debug)]
pub(super) struct Alive {
    pub(super) until: Moment,
    /// The entries that were put in and not left.
    pub(super) entries: HashSet<u64>,
}

/// One lock's line, first in line first.
#[derive(Debug, Default)]
pub(super) struct Standings {
    pub(super) line: VecDeque<Standing>,
    /// Rung when somebody of the line may move, or is gone; there once somebody listens.
    changed: Option<Arc<Notify>>,
}

impl Standings {
    /// What rings at the next change.
    pub(super) fn changes(&mut self) -> Arc<Notify> {
        Arc::clone(self.changed.get_or_insert_default())
    }
}

#[derive(Debug)]
pub(super) struct Standing {
    pub(super) session: u64,
    pub(super) number: u64,
    pub(super) holder: Arc<Holder>,
    /// The fencing number, once it holds.
    pub(super) held: Option<u64>,
    pub(super) kept_until: Option<Moment>,
    /// Left, and there only because it is kept.
    pub(super) left: bool,
}

pub(super) const NEVER: Moment = Moment::from_nanos(u64::MAX);

impl State {
    /// Removes everything that lapsed, and lets the next ones hold.
    pub(super) fn sweep(&mut self, now: Moment) {
        self.sessions.retain(|_, session| session.until > now);
        let mut keys: Vec<Key> = self.lines.keys().cloned().collect();
        // One order, so that a simulation repeats itself.
        keys.sort_unstable();
        for key in keys {
            self.settle(&key, now);
        }
        let kept = self.lines.values().flat_map(|line| &line.line).filter_map(|standing| standing.kept_until);
        let sessions = self.sessions.values().map(|session| session.until);
        self.next_lapse = sessions.chain(kept).filter(|at| *at > now).min().unwrap_or(NEVER);
    }

    /// Notes that something lapses at `at`.
    pub(super) fn lapses(&mut self, at: Moment) -> Moment {
        self.next_lapse = self.next_lapse.min(at);
        at
    }

    /// Removes who left or lapsed from the line of `key`, and lets its head hold.
    pub(super) fn settle(&mut self, key: &Key, now: Moment) {
        let Some(Standings { line, changed }) = self.lines.get_mut(key) else { return };
        let is_watched = !self.watchers.is_empty();
        let mut changes = Vec::new();
        line.retain(|standing| {
            let kept = standing.kept_until.is_some_and(|until| until > now);
            let stays = kept || (!standing.left && self.sessions.contains_key(&standing.session));
            if is_watched && !stays && standing.held.is_some() {
                changes.push(Change::Released(key.clone()));
            }
            stays
        });
        if let Some(head) = line.front_mut().filter(|head| head.held.is_none()) {
            self.counter += 1;
            head.held = Some(self.counter);
            if is_watched {
                changes.push(Change::Acquired(key.clone(), Holder::clone(&head.holder)));
            }
        }
        if let Some(changed) = changed {
            changed.notify_waiters();
        }
        if line.is_empty() {
            self.lines.remove(key);
        }
        for change in changes {
            // A watcher that does not keep up is dropped rather than waited for.
            self.watchers
                .retain(|(scope, watcher)| !scope.contains(key.as_str()) || watcher.try_send(change.clone()).is_ok());
        }
    }

    pub(super) fn alive(&mut self, session: u64) -> Result<&mut Alive, Error> {
        let lapsed = || Error::lost("the session lapsed: it was not renewed within its TTL");
        self.sessions.get_mut(&session).ok_or_else(lapsed)
    }

    pub(super) fn find(&mut self, session: u64, entry: &Entry) -> Option<&mut Standing> {
        let line = &mut self.lines.get_mut(&entry.key)?.line;
        line.iter_mut().find(|one| (one.session, one.number) == (session, entry.number) && !one.left)
    }
}
