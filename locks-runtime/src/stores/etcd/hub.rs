//! One watch stream for everything that this process watches at one member.
//!
//! etcd spends several goroutines on a stream and next to nothing on one more watch in it, so ten thousand held keys
//! and their waiters share one. A task owns the stream; whoever watches has a channel. When the stream breaks, all
//! channels end, and each watcher decides by itself what it may have missed. Those channels are `futures-channel`'s, which
//! take about 200 bytes while nothing comes; tokio's take 1.5 kB.

use super::cluster::{Link, lock};
use super::status::{self, Verdict};
use crate::contract::beside;
use etcd_client::{
    Error as ClientError, WatchFilterType, WatchOptions, WatchRequestSender, WatchResponse, WatchResponseStream,
};
use futures_channel::mpsc as small;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// The way to one member's watch stream.
#[derive(Clone, Debug)]
pub(super) struct Hub {
    requests: UnboundedSender<Request>,
    ids: Arc<AtomicI64>,
}

/// One watch. Dropping it cancels it.
#[derive(Debug)]
pub(super) struct Watching {
    pub(super) member: usize,
    id: i64,
    notices: small::UnboundedReceiver<Notice>,
    requests: UnboundedSender<Request>,
}

/// What a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// It began; everything after this revision will be told.
    Created(i64),
    /// The keys that were deleted, with the revisions at which they were.
    Deleted(Vec<(Vec<u8>, i64)>),
    /// The revision to begin at is no longer kept.
    Compacted,
    /// etcd does not permit it, or no longer knows the token that the stream began with.
    Denied,
}

enum Request {
    Watch { id: i64, options: Box<WatchOptions>, key: Vec<u8>, notices: small::UnboundedSender<Notice> },
    Cancel(i64),
}

/// Who is told, by watch; and the watches that etcd has not confirmed, in the order they were asked for.
#[derive(Default)]
struct Routes {
    notices: HashMap<i64, small::UnboundedSender<Notice>>,
    unconfirmed: VecDeque<i64>,
}

impl Hub {
    /// Opens the stream at the first watch, in the background.
    pub(super) fn open(link: Link) -> Self {
        let (requests, incoming) = mpsc::unbounded_channel();
        let member = link.member;
        let ids = Arc::new(AtomicI64::new(1));
        beside(async move {
            if let Err(error) = serve(link, incoming).await {
                tracing::debug!(member, %error, "an etcd watch stream ended");
            }
        });
        Self { requests, ids }
    }

    pub(super) fn is_open(&self) -> bool {
        !self.requests.is_closed()
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.ids, &other.ids)
    }

    /// Watches for deletions of one key, or of a range up to an end, from `start` or from now on if that is 0.
    pub(super) fn watch(&self, key: impl Into<Vec<u8>>, end: Option<String>, start: i64, member: usize) -> Watching {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let mut options =
            WatchOptions::new().with_watch_id(id).with_start_revision(start).with_filters([WatchFilterType::NoPut]);
        if let Some(end) = end {
            options = options.with_range(end);
        }
        let (notices, incoming) = small::unbounded();
        let request = Request::Watch { id, options: Box::new(options), key: key.into(), notices };
        // If the task is gone, so is the sender, and the channel says so.
        let _ = self.requests.send(request);
        Watching { member, id, notices: incoming, requests: self.requests.clone() }
    }
}

impl Watching {
    /// What comes next; `None` once the stream is broken.
    pub(super) async fn next(&mut self) -> Option<Notice> {
        self.notices.recv().await.ok()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.requests.send(Request::Cancel(self.id));
    }
}

/// Runs until the stream breaks or nobody can ask any more.
async fn serve(mut link: Link, mut requests: UnboundedReceiver<Request>) -> Result<(), ClientError> {
    let routes = Mutex::new(Routes::default());
    let (options, key) = loop {
        match requests.recv().await {
            Some(Request::Watch { id, options, key, notices }) => {
                lock(&routes).add(id, notices);
                break (options, key);
            }
            Some(Request::Cancel(_)) => {}
            None => return Ok(()),
        }
    };
    let opened = link.watch.watch(key, Some(*options)).await;
    let (sender, responses) = match opened {
        Ok(stream) => stream.split(),
        Err(error) => {
            if status::verdict(&error, true) == Verdict::LogIn {
                lock(&routes).tell_all(&Notice::Denied);
            }
            return Err(error);
        }
    };
    // Both at once: a stream whose answers nobody reads takes no more requests.
    tokio::select! {
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
            Request::Watch { id, options, key, notices } => {
                lock(routes).add(id, notices);
                sender.watch(key, Some(*options)).await?;
            }
            Request::Cancel(id) => {
                let known = lock(routes).notices.remove(&id).is_some();
                if known {
                    sender.cancel(id).await?;
                }
            }
        }
    }
    Ok(())
}

async fn receive(mut responses: WatchResponseStream, routes: &Mutex<Routes>) -> Result<(), ClientError> {
    while let Some(response) = responses.message().await? {
        lock(routes).dispatch(&response);
    }
    Ok(())
}

impl Routes {
    fn add(&mut self, id: i64, notices: small::UnboundedSender<Notice>) {
        self.notices.insert(id, notices);
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
                self.tell(id, Notice::Created(response.header().map_or(0, etcd_client::ResponseHeader::revision)));
            }
        }
        let deleted: Vec<_> = response.events().iter().filter_map(deletion).collect();
        if !deleted.is_empty() {
            self.tell(id, Notice::Deleted(deleted));
        }
        if response.canceled() {
            if response.compact_revision() > 0 {
                self.tell(id, Notice::Compacted);
            } else if response.cancel_reason().contains("permission denied")
                || response.cancel_reason().contains("auth")
            {
                self.tell(id, Notice::Denied);
            }
            self.notices.remove(&id);
        }
    }

    fn tell(&self, id: i64, notice: Notice) {
        if let Some(notices) = self.notices.get(&id) {
            let _ = notices.unbounded_send(notice);
        }
    }

    fn tell_all(&self, notice: &Notice) {
        for notices in self.notices.values() {
            let _ = notices.unbounded_send(notice.clone());
        }
    }
}

/// The key and revision of a deletion. A deleted key has no version; `event_type` would panic at a type it does not know.
fn deletion(event: &etcd_client::Event) -> Option<(Vec<u8>, i64)> {
    let kv = event.kv()?;
    (kv.version() == 0).then(|| (kv.key().to_vec(), kv.mod_revision()))
}
