//! The one subscription of a client: it is told which of its entries got their lock, however many wait.
//!
//! It has a connection of its own, because the server hangs up on a subscriber that falls behind. It begins with the
//! first entry that has to wait or be watched, and then lasts as long as the client. What is told while it is down is
//! lost; so after each new beginning everything is asked for once.

use super::names;
use super::server::{lock, settings};
use super::session::Shared;
use super::store::Inner;
use super::turn;
use super::watch::Event;
use crate::contract::beside;
use crate::world::random;
use redis::aio::MultiplexedConnection;
use redis::{Client, PushInfo, PushKind, RedisError};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};

/// The server answers a ping within a request's time, or the connection is dead.
const PING_EVERY: Duration = Duration::from_secs(10);
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(500));

/// What a client is told of one of its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Granted(u64),
    TakenAway,
    /// Only the holder is before it, for at least so long.
    FirstNow(Duration),
}

/// The subscription, and who is to be told what it tells.
pub(super) struct Hub {
    client: Client,
    is_listening: AtomicBool,
    /// Whether changes of all locks are wanted too. Its end is the end of the client.
    wants_changes: watch::Sender<bool>,
    live: watch::Sender<Live>,
    sessions: Mutex<Vec<Weak<Shared>>>,
    watchers: Mutex<Vec<Watcher>>,
}

/// How much of what is told comes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Live {
    Nothing,
    OwnEntries,
    AllChanges,
}

/// Who watches changes; one who does not keep up misses some, and is told that.
struct Watcher {
    events: mpsc::Sender<Arc<Event>>,
    missed: Arc<AtomicBool>,
}

impl Hub {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            is_listening: AtomicBool::new(false),
            wants_changes: watch::Sender::new(false),
            live: watch::Sender::new(Live::Nothing),
            sessions: Mutex::default(),
            watchers: Mutex::default(),
        }
    }

    /// A session whose entries are to be told.
    pub(super) fn add(&self, session: &Arc<Shared>) {
        let mut sessions = lock(&self.sessions);
        sessions.retain(|known| known.strong_count() > 0);
        sessions.push(Arc::downgrade(session));
    }

    /// Begins to listen, if nobody did before.
    pub(super) fn listen(&self, store: &Arc<Inner>) {
        if !self.is_listening.swap(true, Ordering::AcqRel) {
            beside(listen(Arc::downgrade(store), self.wants_changes.subscribe()));
        }
    }

    /// Whether turns are told.
    pub(super) fn is_live(&self) -> bool {
        *self.live.borrow() >= Live::OwnEntries
    }

    /// Events from now on, once they come through; `None` if they do not.
    pub(super) async fn changes(
        &self,
        store: &Arc<Inner>,
        unread: usize,
    ) -> Option<(mpsc::Receiver<Arc<Event>>, Arc<AtomicBool>)> {
        let (events, receiver) = mpsc::channel(unread);
        let missed = Arc::new(AtomicBool::new(false));
        lock(&self.watchers).push(Watcher { events, missed: Arc::clone(&missed) });
        self.wants_changes.send_replace(true);
        self.listen(store);
        let mut live = self.live.subscribe();
        let begun = live.wait_for(|live| *live == Live::AllChanges);
        tokio::time::timeout(store.server.config.attempt() * 2, begun).await.ok()?.ok()?;
        Some((receiver, missed))
    }

    fn sessions(&self) -> Vec<Arc<Shared>> {
        lock(&self.sessions).iter().filter_map(Weak::upgrade).collect()
    }

    /// What was published, on the thread that reads the connection: nothing here waits.
    fn told(&self, channels: &str, channel: &str, text: &str) {
        if channel.strip_prefix(channels) == Some("changes") {
            let mut watchers = lock(&self.watchers);
            watchers.retain(|watcher| !watcher.events.is_closed());
            if watchers.is_empty() {
                return;
            }
            if let Some(event) = Event::read(text).map(Arc::new) {
                watchers.iter().for_each(|watcher| watcher.tell(&event));
            }
            return;
        }
        let Some((token, sign)) = read(text) else { return };
        let Some((session, number)) = names::session_and_number(token) else { return };
        for shared in self.sessions().into_iter().filter(|shared| shared.id == session) {
            shared.told(number, sign);
        }
    }

    fn all_missed_some(&self) {
        for watcher in lock(&self.watchers).iter() {
            watcher.missed.store(true, Ordering::Release);
        }
    }
}

impl Watcher {
    fn tell(&self, event: &Arc<Event>) {
        if self.events.try_send(Arc::clone(event)).is_err() {
            self.missed.store(true, Ordering::Release);
        }
    }
}

/// `+`, `-` or `^`, a token, and a number.
fn read(text: &str) -> Option<(&str, Sign)> {
    let mut parts = text.split('\n');
    let (sign, token, number) = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?);
    let sign = match sign {
        "+" => Sign::Granted(number),
        "-" => Sign::TakenAway,
        "^" => Sign::FirstNow(Duration::from_millis(number)),
        _ => return None,
    };
    Some((token, sign))
}

/// Keeps the subscription for as long as the client lives.
async fn listen(client: Weak<Inner>, mut wants_changes: watch::Receiver<bool>) {
    loop {
        let broken = Arc::new(Notify::new());
        let begun = match client.upgrade() {
            Some(store) => begin(&store, &broken).await,
            None => return,
        };
        match begun {
            Ok(connection) => follow(&client, connection, &broken, &mut wants_changes).await,
            Err(error) => tracing::debug!(%error, "not told of changes to locks; looking now and then instead"),
        }
        let Some(store) = client.upgrade() else { return };
        store.hub.live.send_replace(Live::Nothing);
        store.hub.all_missed_some();
        drop(store);
        let pause = tokio::time::sleep(random::between(PAUSE.0, PAUSE.1));
        tokio::select! {
            () = pause => {}
            changed = wants_changes.changed() => if changed.is_err() { return },
        }
    }
}

/// A new connection on which our own channel is subscribed to.
async fn begin(store: &Arc<Inner>, broken: &Arc<Notify>) -> Result<MultiplexedConnection, RedisError> {
    let (client, broken, channels) = (Arc::downgrade(store), Arc::clone(broken), store.server.channels());
    let told = move |push: PushInfo| -> Result<(), std::convert::Infallible> {
        match (push.kind, push.data.as_slice(), client.upgrade()) {
            (PushKind::Message, [channel, message], Some(store)) => {
                let text = |value| super::answer::bytes(value).map(String::from_utf8_lossy);
                if let (Some(channel), Some(message)) = (text(channel), text(message)) {
                    store.hub.told(&channels, &channel, &message);
                }
            }
            (PushKind::Disconnection, ..) => broken.notify_one(),
            _ => {}
        }
        Ok(())
    };
    let limit = store.server.config.attempt();
    let settings = settings(&store.server.config).set_push_sender(told).set_response_timeout(Some(limit));
    let mut connection = store.hub.client.get_multiplexed_async_connection_with_config(&settings).await?;
    connection.subscribe(format!("{}{:016x}", store.server.channels(), store.client)).await?;
    Ok(connection)
}

/// Until the connection breaks, or the client is gone.
async fn follow(
    client: &Weak<Inner>,
    mut connection: MultiplexedConnection,
    broken: &Notify,
    wants_changes: &mut watch::Receiver<bool>,
) {
    let mut is_new = true;
    loop {
        let Some(store) = client.upgrade() else { return };
        let live = if *wants_changes.borrow_and_update() { Live::AllChanges } else { Live::OwnEntries };
        if live == Live::AllChanges && *store.hub.live.borrow() != live {
            let changes = format!("{}changes", store.server.channels());
            if let Err(error) = connection.subscribe(changes).await {
                tracing::debug!(%error, "changes to locks are not told");
                return;
            }
        }
        store.hub.live.send_replace(live);
        if std::mem::take(&mut is_new) {
            for session in store.hub.sessions() {
                turn::look_at_all(&session).await;
            }
        }
        drop(store);
        tokio::select! {
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

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("live", &*self.live.borrow()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_sign_for_one_entry() {
        assert_eq!(read("+\na.b.1\n7"), Some(("a.b.1", Sign::Granted(7))));
        assert_eq!(read("-\na.b.1\n0"), Some(("a.b.1", Sign::TakenAway)));
        assert_eq!(read("^\na.b.1\n20"), Some(("a.b.1", Sign::FirstNow(Duration::from_millis(20)))));
        for odd in ["", "+", "+\na", "+\na\nx", "?\na\n1"] {
            assert_eq!(read(odd), None, "{odd:?}");
        }
    }
}
