//! The one subscription of a client: it is notified which of its entries got their lock, however many wait.
//!
//! Whoever may publish may say so: a notification makes the client ask the server, and decides nothing.
//!
//! It has a connection of its own, because the server closes that of a subscriber that falls behind. It begins with the
//! first entry that has to wait or be watched, and then lasts as long as the client. What is published while it is down
//! is lost; so each session polls for all its entries after each new beginning.

use super::client::{Client, connection_settings};
use super::entries::Entries;
use super::error::{self, Verdict};
use super::names;
use super::notification::{self, Notification};
use super::reply;
use crate::values::error::Error;
use crate::values::mutex::Mutex;
use crate::values::shown::Chain;
use crate::values::target::TARGET;
use redis::aio::MultiplexedConnection;
use redis::{ProtocolVersion, PushInfo, PushKind, RedisError};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};

/// The server answers a ping within a request's time, or the connection is dead.
const PING_EVERY: Duration = Duration::from_secs(10);
const RECONNECT_AFTER: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(500));
/// As [`RECONNECT_AFTER`], of a user who may not subscribe: the right may be given later.
const REFUSED_AGAIN_AFTER: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(15));

/// The subscription, and to whom it delivers.
pub(super) struct Subscription {
    pub(super) client: Arc<Client>,
    /// Speaks RESP3, in which the server may send what was not asked for.
    server: redis::Client,
    is_started: AtomicBool,
    /// Whether the changes of all locks are wanted too. The task of the subscription ends when this is dropped.
    wants_changes: watch::Sender<bool>,
    delivers: watch::Sender<Delivers>,
    sessions: Mutex<BTreeMap<u64, Weak<Entries>>>,
    listeners: Mutex<Vec<Listener>>,
}

/// How much of what is published comes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Delivers {
    Nothing,
    OwnEntries,
    AllChanges,
}

/// A receiver of the names of locks that changed. One that does not read them fast enough misses some, which `missed` shows.
struct Listener {
    events: mpsc::Sender<Arc<str>>,
    missed: Arc<AtomicBool>,
}

impl Subscription {
    pub(super) fn new(client: &Arc<Client>) -> Result<Self, Error> {
        Ok(Self {
            server: client.config.server(ProtocolVersion::RESP3)?,
            client: Arc::clone(client),
            is_started: AtomicBool::new(false),
            wants_changes: watch::Sender::new(false),
            delivers: watch::Sender::new(Delivers::Nothing),
            sessions: Mutex::default(),
            listeners: Mutex::default(),
        })
    }

    /// From now on notifications about the session's entries are noted there.
    pub(super) fn register(&self, session: u64, entries: &Arc<Entries>) {
        let mut sessions = self.sessions.lock();
        sessions.retain(|_, entries| entries.strong_count() > 0);
        sessions.insert(session, Arc::downgrade(entries));
    }

    /// Subscribes, unless that has begun.
    pub(super) fn start(self: &Arc<Self>) {
        if !self.is_started.swap(true, Ordering::AcqRel) {
            self.client.world.spawn(run(Arc::downgrade(self), self.wants_changes.subscribe()));
        }
    }

    /// Whether notifications come through.
    pub(super) fn is_live(&self) -> bool {
        *self.delivers.borrow() >= Delivers::OwnEntries
    }

    /// The names of the locks that change from now on, once they come through; `None` if they do not. The flag is set when
    /// some were missed.
    pub(super) async fn events(self: &Arc<Self>, unread: usize) -> Option<(mpsc::Receiver<Arc<str>>, Arc<AtomicBool>)> {
        let (events, receiver) = mpsc::channel(unread);
        let missed = Arc::new(AtomicBool::new(false));
        self.listeners.lock().push(Listener { events, missed: Arc::clone(&missed) });
        self.wants_changes.send_replace(true);
        self.start();
        let mut delivers = self.delivers.subscribe();
        let begun = delivers.wait_for(|delivers| *delivers == Delivers::AllChanges);
        tokio::time::timeout(self.client.config.request_timeout() * 2, begun).await.ok()?.ok()?;
        Some((receiver, missed))
    }

    /// What was published, on the thread that reads the connection: nothing here waits.
    fn deliver(&self, prefix: &str, channel: &[u8], message: &[u8]) {
        if channel == names::changes_channel(prefix).as_bytes() {
            self.deliver_change(message);
            return;
        }
        let Some((token, notification)) = Notification::read(message) else { return };
        let Some((session, number)) = names::session_and_number(token) else { return };
        let entries = self.sessions.lock().get(&session).and_then(Weak::upgrade);
        if let Some(entries) = entries {
            entries.notified(number, notification, self.client.world.now());
        }
    }

    fn deliver_change(&self, message: &[u8]) {
        let mut listeners = self.listeners.lock();
        listeners.retain(|listener| !listener.events.is_closed());
        if listeners.is_empty() {
            return;
        }
        if let Some(lock) = notification::changed_lock(message).map(Arc::from) {
            listeners.iter().for_each(|listener| listener.deliver(&lock));
        }
    }

    /// The connection was made anew: whatever was published before was missed.
    fn notifications_missed(&self) {
        let sessions: Vec<_> = self.sessions.lock().values().filter_map(Weak::upgrade).collect();
        sessions.iter().for_each(|entries| entries.notifications_missed());
    }

    /// The connection broke.
    fn disconnected(&self) {
        self.delivers.send_replace(Delivers::Nothing);
        for listener in self.listeners.lock().iter() {
            listener.missed.store(true, Ordering::Release);
        }
    }

    /// A new connection on which our own channel is subscribed to.
    async fn connect(self: &Arc<Self>, broken: &Arc<Notify>) -> Result<MultiplexedConnection, RedisError> {
        let prefix = self.client.channel_prefix();
        let own_channel = names::client_channel(&prefix, self.client.id);
        let (subscription, broken) = (Arc::downgrade(self), Arc::clone(broken));
        let received = move |push: PushInfo| -> Result<(), std::convert::Infallible> {
            match (push.kind, push.data.as_slice(), subscription.upgrade()) {
                (PushKind::Message, [channel, message], Some(subscription)) => {
                    if let (Some(channel), Some(message)) = (reply::bytes(channel), reply::bytes(message)) {
                        subscription.deliver(&prefix, channel, message);
                    }
                }
                (PushKind::Disconnection, ..) => broken.notify_one(),
                _ => {}
            }
            Ok(())
        };
        let settings = connection_settings(&self.client.config).set_push_sender(received);
        let settings = settings.set_response_timeout(Some(self.client.config.request_timeout()));
        let mut connection = self.client.connect(&self.server, &settings).await?;
        connection.subscribe(own_channel).await?;
        Ok(connection)
    }
}

impl Listener {
    fn deliver(&self, lock: &Arc<str>) {
        if self.events.try_send(Arc::clone(lock)).is_err() {
            self.missed.store(true, Ordering::Release);
        }
    }
}

/// Keeps up the subscription for as long as the client lives.
async fn run(subscription: Weak<Subscription>, mut wants_changes: watch::Receiver<bool>) {
    loop {
        let broken = Arc::new(Notify::new());
        let connected = match subscription.upgrade() {
            Some(subscription) => subscription.connect(&broken).await,
            None => return,
        };
        let broken = match connected {
            Ok(connection) => follow(&subscription, connection, &broken, &mut wants_changes).await,
            Err(error) => Err(error),
        };
        let mut pauses = RECONNECT_AFTER;
        if let Err(error) = broken {
            tracing::debug!(target: TARGET, error = %Chain::of(&error), "no notifications of changes to locks; polling instead");
            if error::judge(&error) == Verdict::Unauthorized {
                pauses = REFUSED_AGAIN_AFTER;
            }
        }
        let Some(current) = subscription.upgrade() else { return };
        current.disconnected();
        let pause = tokio::time::sleep(current.client.world.between(pauses.0, pauses.1));
        drop(current);
        tokio::select! {
            biased;
            changed = wants_changes.changed() => if changed.is_err() { return },
            () = pause => {}
        }
    }
}

/// Returns when the connection breaks, or the client is gone.
async fn follow(
    subscription: &Weak<Subscription>,
    mut connection: MultiplexedConnection,
    broken: &Notify,
    wants_changes: &mut watch::Receiver<bool>,
) -> Result<(), RedisError> {
    let mut is_new = true;
    loop {
        let Some(current) = subscription.upgrade() else { return Ok(()) };
        let delivers = if *wants_changes.borrow_and_update() { Delivers::AllChanges } else { Delivers::OwnEntries };
        if delivers == Delivers::AllChanges && *current.delivers.borrow() != delivers {
            connection.subscribe(names::changes_channel(&current.client.channel_prefix())).await?;
        }
        current.delivers.send_replace(delivers);
        if std::mem::take(&mut is_new) {
            current.notifications_missed();
        }
        drop(current);
        tokio::select! {
            biased;
            () = broken.notified() => return Ok(()),
            changed = wants_changes.changed() => if changed.is_err() { return Ok(()) },
            () = tokio::time::sleep(PING_EVERY) => redis::cmd("PING").exec_async(&mut connection).await?,
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("delivers", &*self.delivers.borrow()).finish_non_exhaustive()
    }
}
