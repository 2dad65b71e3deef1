//! One watch stream for everything that this process watches at one member.
//!
//! etcd spends several goroutines on a stream and next to nothing on one more watch in it, so ten thousand held keys
//! and their waiters share one. A background task owns the stream, and each subscriber has a channel. When the stream
//! breaks, all channels end, and each subscriber finds out by itself what it may have missed. The channels are
//! `futures-channel`'s, which take about 200 bytes while they are empty; tokio's take 1.5 kB.

use super::connection::Connection;
use super::error::Verdict;
use crate::values::mutex::Mutex;
use crate::values::shown::Chain;
use crate::values::target::TARGET;
use crate::world::World;
use etcd_client::{
    Error as ClientError, Event, ResponseHeader, WatchFilterType, WatchOptions, WatchRequestSender, WatchResponse,
    WatchResponseStream,
};
use futures_channel::mpsc as small;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// The handle to one member's watch stream.
#[derive(Clone, Debug)]
pub(super) struct Multiplexer {
    member: usize,
    requests: UnboundedSender<Request>,
    next_id: Arc<AtomicI64>,
}

/// One watch of deletions. Dropping it cancels it.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) member: usize,
    id: i64,
    notifications: small::UnboundedReceiver<Notification>,
    requests: UnboundedSender<Request>,
}

/// What a subscriber is notified of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notification {
    /// The watch began: every deletion after this revision will be reported.
    Created(i64),
    /// These keys were deleted, each at its revision.
    Deleted(Vec<(Vec<u8>, i64)>),
    /// The revision at which to begin is no longer kept.
    Compacted,
    /// etcd does not permit the watch, or no longer knows the token with which the stream began.
    Denied,
}

enum Request {
    Watch { id: i64, options: Box<WatchOptions>, key: Vec<u8>, subscriber: small::UnboundedSender<Notification> },
    Cancel(i64),
}

/// The subscribers by watch, and the watches that etcd has not confirmed, in the order of the requests.
#[derive(Default)]
struct Routes {
    subscribers: BTreeMap<i64, small::UnboundedSender<Notification>>,
    unconfirmed: VecDeque<i64>,
}

impl Multiplexer {
    /// Opens the stream, in the background, at the first watch.
    pub(super) fn open(connection: Connection, world: &World) -> Self {
        let (requests, incoming) = mpsc::unbounded_channel();
        let member = connection.member;
        world.spawn(async move {
            if let Err(error) = serve(connection, incoming).await {
                tracing::debug!(target: TARGET, member, error = %Chain::of(&error), "an etcd watch stream ended");
            }
        });
        Self { member, requests, next_id: Arc::new(AtomicI64::new(1)) }
    }

    pub(super) fn is_open(&self) -> bool {
        !self.requests.is_closed()
    }

    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.next_id, &other.next_id)
    }

    /// Watches for deletions of one key, or of a range up to an end, from `start` or from now on if that is 0.
    pub(super) fn watch(&self, key: impl Into<Vec<u8>>, end: Option<String>, start: i64) -> Subscription {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut options =
            WatchOptions::new().with_watch_id(id).with_start_revision(start).with_filters([WatchFilterType::NoPut]);
        if let Some(end) = end {
            options = options.with_range(end);
        }
        let (subscriber, notifications) = small::unbounded();
        let request = Request::Watch { id, options: Box::new(options), key: key.into(), subscriber };
        // If the task has ended, the sender is dropped with the request, and so the channel ends.
        let _ = self.requests.send(request);
        Subscription { member: self.member, id, notifications, requests: self.requests.clone() }
    }
}

impl Subscription {
    /// The next notification; `None` once the stream is broken.
    pub(super) async fn next(&mut self) -> Option<Notification> {
        self.notifications.recv().await.ok()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let _ = self.requests.send(Request::Cancel(self.id));
    }
}

/// Runs until the stream breaks or no handle is left.
async fn serve(mut connection: Connection, mut requests: UnboundedReceiver<Request>) -> Result<(), ClientError> {
    let routes = Mutex::new(Routes::default());
    let (options, key) = loop {
        match requests.recv().await {
            Some(Request::Watch { id, options, key, subscriber }) => {
                routes.lock().add(id, subscriber);
                break (options, key);
            }
            Some(Request::Cancel(_)) => {}
            None => return Ok(()),
        }
    };
    let opened = connection.watch.watch(key, Some(*options)).await;
    let (sender, responses) = match opened {
        Ok(stream) => stream.split(),
        Err(error) => {
            if Verdict::about(&error, true) == Verdict::LogIn {
                routes.lock().notify_all(&Notification::Denied);
            }
            return Err(error);
        }
    };
    // Both at once: a stream whose responses are not read takes no more requests.
    tokio::select! {
        biased;
        ended = send(sender, requests, &routes) => ended,
        ended = receive(responses, &routes) => ended,
    }
}

async fn send(
    mut sender: WatchRequestSender,
    mut requests: UnboundedReceiver<Request>,
    routes: &Mutex<Routes>,
) -> Result<(), ClientError> {
    while let Some(request) = requests.recv().await {
        match request {
            Request::Watch { id, options, key, subscriber } => {
                routes.lock().add(id, subscriber);
                sender.watch(key, Some(*options)).await?;
            }
            Request::Cancel(id) => {
                let was_known = routes.lock().subscribers.remove(&id).is_some();
                if was_known {
                    sender.cancel(id).await?;
                }
            }
        }
    }
    Ok(())
}

async fn receive(mut responses: WatchResponseStream, routes: &Mutex<Routes>) -> Result<(), ClientError> {
    while let Some(response) = responses.message().await? {
        routes.lock().dispatch(&response);
    }
    Ok(())
}

impl Routes {
    fn add(&mut self, id: i64, subscriber: small::UnboundedSender<Notification>) {
        self.subscribers.insert(id, subscriber);
        self.unconfirmed.push_back(id);
    }

    fn dispatch(&mut self, response: &WatchResponse) {
        let mut id = response.watch_id();
        if response.created() {
            // A refused watch comes back without its id, but confirmations come in the order of the requests.
            let oldest = self.unconfirmed.pop_front();
            if id < 0 {
                id = oldest.unwrap_or(id);
            }
            if !response.canceled() {
                self.notify(id, Notification::Created(response.header().map_or(0, ResponseHeader::revision)));
            }
        }
        let deleted: Vec<_> = response.events().iter().filter_map(deletion).collect();
        if !deleted.is_empty() {
            self.notify(id, Notification::Deleted(deleted));
        }
        if response.canceled() {
            let reason = response.cancel_reason();
            if response.compact_revision() > 0 {
                self.notify(id, Notification::Compacted);
            } else if reason.contains("permission denied") || reason.contains("auth") {
                self.notify(id, Notification::Denied);
            }
            self.subscribers.remove(&id);
        }
    }

    fn notify(&self, id: i64, notification: Notification) {
        if let Some(subscriber) = self.subscribers.get(&id) {
            let _ = subscriber.unbounded_send(notification);
        }
    }

    fn notify_all(&self, notification: &Notification) {
        for subscriber in self.subscribers.values() {
            let _ = subscriber.unbounded_send(notification.clone());
        }
    }
}

/// The key and revision of a deletion. A deleted key has no version; `event_type` would panic at a type it does not know.
fn deletion(event: &Event) -> Option<(Vec<u8>, i64)> {
    let kv = event.kv()?;
    (kv.version() == 0).then(|| (kv.key().to_vec(), kv.mod_revision()))
}
