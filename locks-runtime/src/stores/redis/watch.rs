//! Telling of every change of holder.
//!
//! Our own clients publish each. What nobody publishes, such as a hold that lapses and what others do, is found by
//! looking again at those locks of which a holder is known.

use super::answer::Found;
use super::inspect;
use super::names;
use super::store::Inner;
use crate::contract::{Change, Scope, beside};
use crate::values::error::Error;
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::world::clock::Clock;
use crate::world::random;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How many changes may lie unread, on either side of this.
const UNREAD: usize = 128;
/// How often to look for what nobody told.
const LOOK: (Duration, Duration) = (Duration::from_millis(800), Duration::from_millis(1200));

/// What was published of one lock.
#[derive(Debug)]
pub(super) struct Event {
    sign: char,
    token: String,
    name: String,
    /// The record of one who holds, the new token of one who is kept.
    rest: String,
}

impl Event {
    /// `+`, `-` or `=`, a token, the lock's name, and more.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, '\n');
        let (sign, token, name) = (parts.next()?, parts.next()?, parts.next()?);
        let rest = parts.next().unwrap_or_default();
        Some(Self { sign: sign.chars().next()?, token: token.into(), name: name.into(), rest: rest.into() })
    }
}

pub(super) async fn watch(store: Arc<Inner>, scope: Scope) -> Result<Receiver<Change>, Error> {
    // Whatever is wrong with the server itself is told by that.
    store.server.greet().await?;
    let Some((events, missed)) = store.hub.changes(&store, UNREAD).await else {
        return Err(Error::unavailable(format!(
            "Redis at {} does not tell of changes; the user needs the right to subscribe to channels that begin with {:?}",
            store.server.config.endpoint(),
            store.server.channels()
        )));
    };
    let (changes, receiver) = channel(UNREAD);
    let mut tracker = Tracker { store, scope, owners: BTreeMap::new(), events, missed, changes };
    for (key, found) in inspect::read_all(&tracker.store, &tracker.scope).await? {
        if let Some(owner) = found.owner {
            tracker.owners.insert(key, owner);
        }
    }
    beside(async move {
        let changes = tracker.changes.clone();
        tokio::select! {
            () = changes.closed() => {}
            () = tracker.run() => {}
        }
    });
    Ok(receiver)
}

struct Tracker {
    store: Arc<Inner>,
    scope: Scope,
    /// What was last told to be at each lock.
    owners: BTreeMap<Key, Vec<u8>>,
    events: Receiver<Arc<Event>>,
    /// Some of what was published did not come through.
    missed: Arc<AtomicBool>,
    changes: Sender<Change>,
}

impl Tracker {
    /// A sender without a receiver is noticed elsewhere.
    async fn run(mut self) {
        let mut due = Clock::Boot.now();
        loop {
            let pause = due.since(Clock::Boot.now());
            match tokio::time::timeout(pause, self.events.recv()).await {
                Ok(Some(event)) => self.apply(&event).await,
                Ok(None) => return,
                Err(_) => {
                    if let Err(error) = self.look().await {
                        tracing::debug!(%error, "locks cannot be watched for now");
                    }
                    due = Clock::Boot.now() + random::between(LOOK.0, LOOK.1);
                }
            }
        }
    }

    async fn apply(&mut self, event: &Event) {
        let lock = names::lock_of(&self.store.server.config.namespace, &event.name);
        let Some(key) = lock.filter(|key| self.scope.contains(key.as_str())) else { return };
        let is_known = self.owners.get(&key).is_some_and(|owner| *owner == event.token.as_bytes());
        match event.sign {
            '+' if !is_known => {
                let holder = Holder::from_json(event.rest.as_bytes());
                self.tell(key, Some((event.token.clone().into_bytes(), holder))).await;
            }
            '-' if is_known => self.tell(key, None).await,
            '=' if is_known => {
                self.owners.insert(key, event.rest.clone().into_bytes());
            }
            _ => {}
        }
    }

    /// Looks at the locks of which a holder is known, or at all if something was missed.
    async fn look(&mut self) -> Result<(), Error> {
        let found = if self.missed.swap(false, Ordering::AcqRel) {
            let all = inspect::read_all(&self.store, &self.scope).await;
            if all.is_err() {
                self.missed.store(true, Ordering::Release);
            }
            all?
        } else if let Scope::Key(key) = &self.scope {
            inspect::read(&self.store, std::slice::from_ref(key)).await?
        } else {
            let known: Vec<Key> = self.owners.keys().cloned().collect();
            inspect::read(&self.store, &known).await?
        };
        let mut unseen: Vec<Key> = self.owners.keys().cloned().collect();
        unseen.retain(|key| found.binary_search_by_key(&key, |(found, _)| found).is_err());
        for key in unseen {
            self.tell(key, None).await;
        }
        for (key, found) in found {
            if self.owners.get(&key) != found.owner.as_ref() && !self.is_the_same_kept(&key, &found) {
                let holder = inspect::owner(&self.store, &key, &found);
                self.tell(key, found.owner.zip(holder)).await;
            }
        }
        Ok(())
    }

    /// A kept entry that left has another token, and is no other holder.
    fn is_the_same_kept(&mut self, key: &Key, found: &Found) -> bool {
        let (Some(known), Some(owner)) = (self.owners.get_mut(key), &found.owner) else { return false };
        let same = owner.strip_suffix(b".kept") == Some(known.as_slice());
        if same {
            known.clone_from(owner);
        }
        same
    }

    async fn tell(&mut self, key: Key, now: Option<(Vec<u8>, Holder)>) {
        if self.owners.remove(&key).is_some() {
            let _ = self.changes.send(Change::Released(key.clone())).await;
        }
        if let Some((owner, holder)) = now {
            self.owners.insert(key.clone(), owner);
            let _ = self.changes.send(Change::Acquired(key, holder)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_to_its_end() {
        let event = Event::read("+\na.b.1\napp:/a\n{\"v\":1}").unwrap();
        assert_eq!((event.sign, &*event.token, &*event.name, &*event.rest), ('+', "a.b.1", "app:/a", "{\"v\":1}"));
        assert!(Event::read("-\na.b.1\n/a").is_some_and(|event| event.rest.is_empty()));
        assert!(Event::read("").is_none() && Event::read("+\na").is_none());
    }
}
