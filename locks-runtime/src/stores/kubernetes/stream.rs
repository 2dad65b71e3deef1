//! A watch: events, one in a line of text, for as long as the server sends them.

use super::config::Config;
use super::lease::{Lease, Object};
use super::wire::{Reply, Wire};
use crate::values::error::Error;
use crate::values::mutex::Mutex;
use crate::world::World;
use bytes::{Bytes, BytesMut};
use http::Response;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// How many streams one connection has: a server allows a hundred.
const STREAMS: usize = 64;
/// No event is longer.
const LONGEST: usize = 4 * 1024 * 1024;
/// After how long the server ends it. What is silent for longer is no watch any more.
const LASTS: Duration = Duration::from_secs(30);

/// What happened.
#[derive(Debug)]
pub(super) enum Event {
    /// It was made or changed.
    Is(Lease),
    /// It was deleted; this is its last state.
    Was(Lease),
    /// Nothing happened.
    Nothing,
    /// The watch is over, and what comes next is not known: it is to be looked again.
    End,
}

/// The connections that watches are on.
#[derive(Debug, Default)]
pub(super) struct Open(Mutex<Vec<std::sync::Weak<Wire>>>);

impl Open {
    /// A connection with room for one more stream.
    pub(super) fn wire(&self, config: &Arc<Config>, world: &World) -> Arc<Wire> {
        let mut open = self.0.lock();
        open.retain(|wire| wire.strong_count() > 0);
        let with_room = open.iter().find(|wire| wire.strong_count() < STREAMS).and_then(std::sync::Weak::upgrade);
        with_room.unwrap_or_else(|| {
            let wire = Arc::new(Wire::new(config, world));
            open.push(Arc::downgrade(&wire));
            wire
        })
    }
}

/// An open watch.
pub(super) struct Stream {
    config: Arc<Config>,
    body: Incoming,
    unread: Lines,
    /// Its stream is one of those of this connection.
    _wire: Arc<Wire>,
}

/// Text that comes in pieces. All watches are read by one thread, which has more to do: each byte is looked at once.
#[derive(Debug, Default)]
struct Lines {
    text: BytesMut,
    /// So much of it has no end of a line.
    searched: usize,
}

impl Lines {
    /// The next line that is there to its end, which it has.
    fn next(&mut self) -> Option<BytesMut> {
        let searched = std::mem::replace(&mut self.searched, self.text.len());
        let end = self.text[searched..].iter().position(|byte| *byte == b'\n')?;
        self.searched = 0;
        Some(self.text.split_to(searched + end + 1))
    }
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    object: Object,
}

impl Stream {
    pub(super) fn new(config: Arc<Config>, body: Incoming, wire: Arc<Wire>) -> Self {
        Self { config, body, unread: Lines::default(), _wire: wire }
    }

    /// How long the server is asked to keep it.
    pub(super) fn lasts() -> Duration {
        LASTS
    }

    /// The next event.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses no event.
    pub(super) async fn next(&mut self) -> Result<Event, Error> {
        loop {
            if let Some(line) = self.unread.next() {
                return Ok(event(&line));
            }
            let broken = || Error::unavailable(format!("the watch at {} breaks off", self.config.server));
            if self.unread.text.len() > LONGEST {
                return Err(broken());
            }
            let Ok(frame) = tokio::time::timeout(LASTS + LASTS / 4, self.body.frame()).await else {
                return Err(broken());
            };
            match frame {
                None => return Ok(Event::End),
                Some(Err(cause)) => return Err(broken().with_source(cause)),
                Some(Ok(frame)) => self.unread.text.extend_from_slice(&frame.into_data().unwrap_or_default()),
            }
        }
    }

    /// An answer that is no stream.
    pub(super) async fn refusal(response: Response<Incoming>, limit: Duration) -> Reply {
        let (status, body) = (response.status(), Limited::new(response.into_body(), LONGEST).collect());
        let body = tokio::time::timeout(limit, body).await.ok().and_then(Result::ok);
        Reply { status, server_ms: None, body: body.map_or_else(Bytes::new, |body| body.to_bytes()) }
    }
}

/// What is no event ends the watch; so does the `ERROR` that says that its version is too old.
pub(super) fn event(line: &[u8]) -> Event {
    let Ok(Line { kind, object }) = serde_json::from_slice::<Line>(line) else { return Event::End };
    match (kind.as_str(), object) {
        ("BOOKMARK", _) => Event::Nothing,
        ("ADDED" | "MODIFIED", object) => object.into_lease().map_or(Event::End, Event::Is),
        ("DELETED", object) => object.into_lease().map_or(Event::End, Event::Was),
        _ => Event::End,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_line_is_one_however_it_comes(text in "[ab\n]{0,40}", cuts in prop::collection::vec(0..9_usize, 0..40)) {
            let (mut lines, mut read, mut rest) = (Lines::default(), Vec::new(), text.as_bytes());
            for cut in cuts.into_iter().chain([text.len()]) {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                lines.text.extend_from_slice(piece);
                read.extend(std::iter::from_fn(|| lines.next()));
                rest = after;
            }
            let expected: Vec<&str> = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn what_is_no_event_ends_the_watch() {
        let lease = r#"{"kind":"Lease","metadata":{"name":"a","uid":"u","resourceVersion":"7"}}"#;
        let of = |kind: &str, object: &str| event(format!(r#"{{"type":"{kind}","object":{object}}}"#).as_bytes());
        assert!(matches!(of("ADDED", lease), Event::Is(lease) if lease.version == 7));
        assert!(matches!(of("DELETED", lease), Event::Was(_)));
        assert!(matches!(of("BOOKMARK", r#"{"metadata":{"resourceVersion":"9"}}"#), Event::Nothing));
        let too_old = r#"{"kind":"Status","code":410,"reason":"Expired","message":"too old resource version"}"#;
        assert!(matches!(of("ERROR", too_old), Event::End) && matches!(of("MODIFIED", "{}"), Event::End));
        assert!(matches!(event(b"<html>"), Event::End) && matches!(event(b"\n"), Event::End));
    }
}
