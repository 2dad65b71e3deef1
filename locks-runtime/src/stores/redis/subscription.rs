//! The one subscription of a client: it is notified which of its entries got their lock, however many wait.
//!
//! It has a connection of its own, because the server closes that of a subscriber that falls behind. It begins with the
//! first entry that has to wait or be watched, and then lasts as long as the client. What is published while it is down
//! is lost; so each session polls for all its entries after each new beginning.

use super::client::{Client, connect, connection_settings};
use super::entries::Entries;
use super::names;
use super::notification::{Event, Notification};
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

/// A receiver of events. One that does not read them fast enough misses some, which `missed` shows.
struct Listener {
    events: mpsc::Sender<Arc<Event>>,
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

    /// Events from now on, once they come through; `None` if they do not. The flag is set when some were missed.
    pub(super) async fn events(
        self: &Arc<Self>,
        unread: usize,
    ) -> Option<(mpsc::Receiver<Arc<Event>>, Arc<AtomicBool>)> {
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
    fn deliver(&self, prefix: &str, channel: &str, text: &str) {
        if channel == names::changes_channel(prefix) {
            self.deliver_event(text);
            return;
        }
        let Some((token, notification)) = Notification::read(text) else { return };
        let Some((session, number)) = names::session_and_number(token) else { return };
        let entries = self.sessions.lock().get(&session).and_then(Weak::upgrade);
        if let Some(entries) = entries {
            entries.notified(number, notification, self.client.world.now());
        }
    }

    fn deliver_event(&self, text: &str) {
        let mut listeners = self.listeners.lock();
        listeners.retain(|listener| !listener.events.is_closed());
        if listeners.is_empty() {
            return;
        }
        if let Some(event) = Event::read(text).map(Arc::new) {
            listeners.iter().for_each(|listener| listener.deliver(&event));
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
                    let text = |value| reply::bytes(value).map(String::from_utf8_lossy);
                    if let (Some(channel), Some(message)) = (text(channel), text(message)) {
                        subscription.deliver(&prefix, &channel, &message);
                    }
                }
                (PushKind::Disconnection, ..) => broken.notify_one(),
                _ => {}
            }
            Ok(())
        };
        let settings = connection_settings(&self.client.config).set_push_sender(received);
        let settings = settings.set_response_timeout(Some(self.client.config.request_timeout()));
        let mut connection = connect(&self.server, &settings).await?;
        connection.subscribe(own_channel).await?;
        Ok(connection)
    }
}

impl Listener {
    fn deliver(&self, event: &Arc<Event>) {
        if self.events.try_send(Arc::clone(event)).is_err() {
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
        match connected {
            Ok(connection) => follow(&subscription, connection, &broken, &mut wants_changes).await,
            Err(error) => {
                tracing::debug!(target: TARGET, error = %Chain::of(&error), "no notifications of changes to locks; polling instead")
            }
        }
        let Some(current) = subscription.upgrade() else { return };
        current.disconnected();
        let pause = tokio::time::sleep(current.client.world.between(RECONNECT_AFTER.0, RECONNECT_AFTER.1));
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
) {
    let mut is_new = true;
    loop {
        let Some(current) = subscription.upgrade() else { return };
        let delivers = if *wants_changes.borrow_and_update() { Delivers::AllChanges } else { Delivers::OwnEntries };
        if delivers == Delivers::AllChanges && *current.delivers.borrow() != delivers {
            let changes = names::changes_channel(&current.client.channel_prefix());
            if let Err(error) = connection.subscribe(changes).await {
                tracing::debug!(target: TARGET, error = %Chain::of(&error), "no notifications of the changes of all locks");
                return;
            }
        }
        current.delivers.send_replace(delivers);
        if std::mem::take(&mut is_new) {
            current.notifications_missed();
        }
        drop(current);
        tokio::select! {
            biased;
            () = broken.notified() => return,
            changed = wants_changes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(PING_EVERY) => {
                if redis::cmd("PING").exec_async(&mut connection).await.is_err() {
                    return;
                }
            }
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("delivers", &*self.delivers.borrow()).finish_non_exhaustive()
    }
}
