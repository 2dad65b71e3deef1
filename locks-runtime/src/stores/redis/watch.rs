//! Reporting every change of holder.
//!
//! Our own clients publish each. What is not published, such as a hold that lapses and what other projects do, is found by
//! reading those locks again of which a holder is known.

use super::inspect;
use super::names;
use super::notification::{Event, EventChange};
use super::reply::LockReply;
use super::subscription::Subscription;
use crate::contract::{Change, Holders, Scope};
use crate::values::error::Error;
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::target::TARGET;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How many events and how many changes may wait to be read.
const UNREAD: usize = 128;
/// How often to read the locks again, for what was not published.
const READ_EVERY: (Duration, Duration) = (Duration::from_millis(800), Duration::from_millis(1200));

pub(super) async fn watch(subscription: Arc<Subscription>, scope: Scope) -> Result<Receiver<Change>, Error> {
    let client = Arc::clone(&subscription.client);
    // It reports whatever is wrong with the server itself.
    client.load_script().await?;
    let Some((events, missed)) = subscription.events(UNREAD).await else {
        return Err(Error::unavailable(format!(
            "Redis at {} does not deliver changes; the user needs the right to subscribe to channels that begin with {:?}",
            client.config.endpoint(),
            client.channel_prefix()
        )));
    };
    let (changes, receiver) = channel(UNREAD);
    let mut watcher = Watcher { subscription, scope, holders: Holders::default(), events, missed, changes };
    // What is held already is no change.
    watcher.read(true).await?;
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
    /// By the tokens of their entries.
    holders: Holders<Vec<u8>>,
    events: Receiver<Arc<Event>>,
    /// Some events did not come through.
    missed: Arc<AtomicBool>,
    changes: Sender<Change>,
}

impl Watcher {
    /// Whether the receiver of the changes was dropped is for the caller to notice.
    async fn run(mut self) {
        let world = self.subscription.client.world.clone();
        let mut due = world.now();
        loop {
            let pause = due.since(world.now());
            match tokio::time::timeout(pause, self.events.recv()).await {
                Ok(Some(event)) => {
                    let changes = self.apply(&event);
                    self.report(changes).await;
                }
                Ok(None) => return,
                Err(_) => {
                    match self.read_again().await {
                        Ok(changes) => self.report(changes).await,
                        Err(error) => {
                            tracing::debug!(target: TARGET, error = %error.chain(), "locks cannot be watched for now")
                        }
                    }
                    due = world.now() + world.between(READ_EVERY.0, READ_EVERY.1);
                }
            }
        }
    }

    fn apply(&mut self, event: &Event) -> Vec<Change> {
        let key = names::key_of_lock(&self.subscription.client.config.namespace, &event.name);
        let Some(key) = key.filter(|key| self.scope.contains(key.as_str())) else { return Vec::new() };
        let hold = names::hold(event.token.as_bytes());
        match &event.change {
            EventChange::Acquired(record) => {
                let holder = Holder::from_json(record.as_bytes());
                self.holders.update(&key, Some((hold.to_vec(), holder)))
            }
            EventChange::Released if self.holders.id(&key).is_some_and(|known| known == hold) => {
                self.holders.update(&key, None)
            }
            EventChange::Released | EventChange::Extended => Vec::new(),
        }
    }

    /// Reads the locks of which a holder is known again, or all if events were missed.
    async fn read_again(&mut self) -> Result<Vec<Change>, Error> {
        let must_read_all = self.missed.swap(false, Ordering::AcqRel);
        let changes = self.read(must_read_all).await;
        if must_read_all && changes.is_err() {
            self.missed.store(true, Ordering::Release);
        }
        changes
    }

    async fn read(&mut self, all: bool) -> Result<Vec<Change>, Error> {
        let client = &self.subscription.client;
        let found = match &self.scope {
            Scope::Prefix(_) if !all => {
                let known: Vec<Key> = self.holders.keys().cloned().collect();
                inspect::read(client, &known).await?
            }
            scope => inspect::read_all(client, scope).await?,
        };
        let held = |(key, found): (Key, LockReply)| {
            let holder = inspect::holder(client, &key, &found)?;
            Some((key, (names::hold(&found.owner?).to_vec(), holder)))
        };
        let now: BTreeMap<_, _> = found.into_iter().filter_map(held).collect();
        Ok(self.holders.replace(now))
    }

    async fn report(&self, changes: Vec<Change>) {
        for change in changes {
            let _ = self.changes.send(change).await;
        }
    }
}
