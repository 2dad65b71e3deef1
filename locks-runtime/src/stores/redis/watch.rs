//! Reporting every change of holders and waiters.
//!
//! Our own clients publish the name of each lock that changes while [somebody watches](super::watched); who holds it then is what
//! the server replies, whatever else was published, by whom ever. What is not published, such as a hold that lapses, somebody who
//! queues, and what other projects do, is found by reading those locks again of which a holder is known.

use super::inspect;
use super::names;
use super::pace::HintPace;
use super::reply::LockReply;
use super::subscribed;
use super::subscription::Subscription;
use super::watched::Watched;
use crate::contract::{Change, Reported, Scope, Seen};
use crate::values::error::Error;
use crate::values::key::Key;
use crate::values::target::TARGET;
use crate::world::World;
use crate::world::clock::Moment;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How many events and how many changes may wait to be read.
const UNREAD: usize = 128;
/// How many locks that are said to have changed may wait to be read: with more, all are read.
const CHANGED: usize = 1000;
/// How often to read the locks again, for what was not published.
const READ_EVERY: (Duration, Duration) = (Duration::from_millis(800), Duration::from_millis(1200));
/// At most this share of the time goes into reading them.
const SHARE: u32 = 20;

pub(super) async fn watch(subscription: Arc<Subscription>, scope: Scope) -> Result<Receiver<Change>, Error> {
    let client = Arc::clone(&subscription.client);
    // It reports whatever is wrong with the server itself.
    client.load_script().await?;
    subscribed::start(&subscription);
    let Some((events, missed)) = subscription.events(UNREAD).await else {
        return Err(Error::unavailable(format!(
            "Redis at {} does not deliver changes; if its user may not subscribe: `ACL SETUSER {} &{}*`",
            client.config.place(),
            client.config.user(),
            names::escaped(&client.config.namespace),
        )));
    };
    let (changes, receiver) = channel(UNREAD);
    let watched = Watched::begin(&client).await?;
    let (reported, changed) = (Reported::default(), BTreeSet::new());
    let mut watcher = Watcher { subscription, scope, watched, reported, events, missed, changed, changes };
    // What is held already is no change.
    watcher.read(None).await?;
    client.world.spawn(async move {
        let changes = watcher.changes.clone();
        tokio::select! {
            biased;
            () = changes.closed() => {}
            () = watcher.run() => {}
        }
    });
    Ok(receiver)
}

struct Watcher {
    /// Events come for as long as it is there.
    subscription: Arc<Subscription>,
    scope: Scope,
    watched: Watched,
    /// What was last reported, holds by the tokens of their entries.
    reported: Reported<Vec<u8>>,
    events: Receiver<Arc<str>>,
    /// Some events did not come through.
    missed: Arc<AtomicBool>,
    /// What is said to have changed since it was read.
    changed: BTreeSet<Key>,
    changes: Sender<Change>,
}

impl Watcher {
    /// Whether the receiver of the changes was dropped is for the caller to notice.
    async fn run(mut self) {
        let world = self.subscription.client.world.clone();
        let (mut due, mut pace) = (world.now(), HintPace::default());
        loop {
            let now = world.now();
            let changed_due = (!self.changed.is_empty()).then(|| pace.not_before(now));
            let watched_due = self.watched.next;
            let next = changed_due.map_or(due, |at| at.min(due)).min(watched_due);
            tokio::select! {
                biased;
                () = tokio::time::sleep(next.since(now)) => {}
                event = self.events.recv() => match event {
                    Some(lock) => {
                        self.heard(&lock);
                        continue;
                    }
                    None => return,
                },
            }
            if watched_due == next {
                self.say_again().await;
            } else if changed_due.is_some_and(|at| at <= due) {
                let any = self.read_changed().await;
                pace.looked(world.now(), any);
            } else {
                due = self.read_again(&world).await;
            }
        }
    }

    /// What happened while nobody knew that somebody watches was not published.
    async fn say_again(&mut self) {
        let is_unbroken = self.watched.again(&self.subscription.client).await;
        if let Err(error) = &is_unbroken {
            tracing::debug!(target: TARGET, error = %error.chain(), "locks cannot be watched for now");
        }
        if !is_unbroken.is_ok_and(|is_unbroken| is_unbroken) {
            self.missed.store(true, Ordering::Release);
        }
    }

    /// A lock is said to have changed.
    fn heard(&mut self, lock: &str) {
        let key = names::key_of_lock(&self.subscription.client.config.namespace, lock);
        let Some(key) = key.filter(|key| self.scope.contains(key.as_str())) else { return };
        if self.changed.len() < CHANGED {
            self.changed.insert(key);
        } else {
            self.missed.store(true, Ordering::Release);
        }
    }

    /// Reads what is said to have changed; returns whether anything has.
    async fn read_changed(&mut self) -> bool {
        let changed: Vec<Key> = std::mem::take(&mut self.changed).into_iter().collect();
        let found = match inspect::read(&self.subscription.client, &changed).await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(target: TARGET, error = %error.chain(), "locks cannot be watched for now");
                self.missed.store(true, Ordering::Release);
                return false;
            }
        };
        let mut changes = Vec::new();
        for (key, found) in found {
            let seen = self.seen(&key, &found);
            changes.extend(self.reported.update(&key, seen));
        }
        let any = !changes.is_empty();
        self.report(changes).await;
        any
    }

    /// Reads the locks of which a holder is known again, or all if events were missed; returns when to do so next.
    async fn read_again(&mut self, world: &World) -> Moment {
        let begun = world.now();
        let known: Vec<Key> = self.reported.keys().cloned().collect();
        let must_read_all = self.missed.swap(false, Ordering::AcqRel);
        match self.read((!must_read_all).then_some(known)).await {
            Ok(changes) => self.report(changes).await,
            Err(error) => {
                tracing::debug!(target: TARGET, error = %error.chain(), "locks cannot be watched for now");
                if must_read_all {
                    self.missed.store(true, Ordering::Release);
                }
            }
        }
        let now = world.now();
        now + world.between(READ_EVERY.0, READ_EVERY.1).max(now.since(begun) * SHARE)
    }

    /// What has changed of these locks, or of all.
    async fn read(&mut self, known: Option<Vec<Key>>) -> Result<Vec<Change>, Error> {
        let client = &self.subscription.client;
        let found = match (&self.scope, known) {
            (Scope::Prefix(_), Some(known)) => inspect::read(client, &known).await?,
            (scope, _) => inspect::read_all(client, scope).await?,
        };
        let seen = |(key, found)| {
            let seen = self.seen(&key, &found);
            (key, seen)
        };
        let now: BTreeMap<Key, _> = found.into_iter().map(seen).collect();
        Ok(self.reported.replace(now))
    }

    /// Who holds the lock, and who waits for it.
    fn seen(&self, key: &Key, found: &LockReply) -> Seen<Vec<u8>> {
        let Ok(name) = names::lock(&self.subscription.client.config.namespace, key) else { return Seen::default() };
        let holds = found.ids_and_holders(&name).into_iter();
        Seen::held(holds.map(|(id, holder)| (names::hold(&id).to_vec(), holder))).with_waiters(found.who_waits())
    }

    async fn report(&self, changes: Vec<Change>) {
        for change in changes {
            let _ = self.changes.send(change).await;
        }
    }
}
