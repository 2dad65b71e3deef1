//! The bodies of answers, and of watches: events of one Lease or of all, in their order, for as long as they last.

use super::Kubernetes;
use super::answer::Answer;
use super::leases::Change;
use crate::model::Model;
use crate::network::Fate;
use bytes::Bytes;
use hyper::body::Frame;
use serde_json::json;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, sleep_until};

/// What an answer says.
pub(super) struct Body(UnboundedReceiver<io::Result<Bytes>>);

/// Where it is said. It is complete when this is dropped.
pub(super) struct Frames {
    frames: UnboundedSender<io::Result<Bytes>>,
    pub(super) process: usize,
    pub(super) server: usize,
}

impl Body {
    pub(super) fn new() -> (Frames, Self) {
        let (frames, body) = unbounded_channel();
        (Frames { frames, process: 0, server: 0 }, Self(body))
    }
}

impl Frames {
    pub(super) fn send(&self, bytes: Vec<u8>) {
        drop(self.frames.send(Ok(bytes.into())));
    }

    /// It breaks off here.
    pub(super) fn tear(&self) {
        drop(self.frames.send(Err(io::ErrorKind::BrokenPipe.into())));
    }

    fn event(&self, kind: &str, object: &serde_json::Value) {
        self.send(format!("{}\n", json!({"type": kind, "object": object})).into_bytes());
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|frame| frame.map(|bytes| bytes.map(Frame::data)))
    }
}

/// Sends every change after `from`, until the time is over, or the connection.
pub(super) async fn stream(
    model: Arc<Kubernetes>,
    frames: Frames,
    name: Option<String>,
    mut from: u64,
    lasts: Duration,
) {
    let oldest = model.server(frames.server).oldest;
    if from < oldest {
        let Answer { body, .. } = Answer::too_old(from, oldest);
        return frames.event("ERROR", &body);
    }
    let end = Instant::now() + lasts;
    let mut bookmark = end - Duration::from_secs(2).min(lasts);
    while !frames.frames.is_closed() {
        let mut listener = model.written.listen();
        let next: Option<Change> = model.state().leases.next_change(from, name.as_deref()).cloned();
        if let Some(change) = next {
            from = change.revision;
            if !deliver(&model, &frames, &change).await {
                return;
            }
            continue;
        }
        tokio::select! {
            biased;
            () = frames.frames.closed() => return,
            () = model.written.changed(&mut listener) => {}
            () = sleep_until(bookmark) => {
                let version = json!({"resourceVersion": from.to_string()});
                frames.event("BOOKMARK", &json!({"kind": "Lease", "metadata": version, "spec": {}}));
                if bookmark == end {
                    return;
                }
                bookmark = end;
            }
        }
    }
}

/// Returns whether there will be more.
async fn deliver(model: &Kubernetes, frames: &Frames, change: &Change) -> bool {
    let network = &model.network;
    let lag = network.weather().lag;
    if lag > 0 {
        sleep(network.random(|random| random.millis(0, lag))).await;
    }
    match network.fate() {
        Fate::Good | Fate::RefusedAfter => {}
        Fate::Late => sleep(network.random(|random| random.millis(500, 5000))).await,
        Fate::Refused => {
            network.note("torn watch", || format!("c{}-s{}", frames.process, frames.server));
            frames.tear();
            return false;
        }
        // It stays open, and nothing comes any more.
        Fate::Lost | Fate::AnswerLost => {
            network.note("silent watch", || format!("c{}-s{}", frames.process, frames.server));
            frames.frames.closed().await;
            return false;
        }
    }
    network.note("event", || format!("c{}-s{} {} {}", frames.process, frames.server, change.kind, change.revision));
    frames.event(change.kind, &change.lease);
    true
}
