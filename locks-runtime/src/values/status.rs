//! How a client is, for readiness probes.

use crate::values::local::{as_ms, as_optional_ms};
use serde::Serialize;
use std::time::Duration;

/// How a client is, as far as it knows without asking its store: see [`Locks::status`](crate::Locks::status).
///
/// As JSON its durations are in milliseconds: `answered_ms` ago, and of a session `ttl_ms`, `left_ms`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// Where the store is: the URL without user, password and parameters. Empty if it is not known.
    pub store: String,
    /// Whether the client takes requests: not once it is drained, or closed.
    pub is_open: bool,
    /// Whether the store answers. Not known before the first session, or [`ping`](crate::Locks::ping).
    pub is_reachable: Option<bool>,
    /// How long ago its last answer came, to a renewal or to a ping.
    #[serde(rename = "answered_ms", serialize_with = "as_optional_ms")]
    pub last_answer: Option<Duration>,
    /// Why a request after that had no answer. Without a session, which would ask again, it counts for the client's TTL.
    pub failure: Option<String>,
    /// Its sessions, the one with the longest TTL last. One without a lock ends after some time.
    pub sessions: Vec<SessionStatus>,
    /// How many locks it holds.
    pub held: usize,
    /// How many requests wait for one.
    pub waiting: usize,
}

/// A session of a client with its store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SessionStatus {
    /// How long the store keeps it after a renewal.
    #[serde(rename = "ttl_ms", serialize_with = "as_ms")]
    pub ttl: Duration,
    /// Until its deadline: for how long its locks can be proved if no renewal succeeds any more.
    #[serde(rename = "left_ms", serialize_with = "as_ms")]
    pub time_left: Duration,
    /// How many locks are held in it.
    pub held: usize,
}

impl Status {
    /// Whether this instance can take part: the client is open, and nothing says that the store cannot be reached.
    ///
    /// Holding a lock, or leading, is no part of it: an instance that is ready only when it leads never is while the old one has not
    /// ended, which ends when the new one is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_open && self.is_reachable != Some(false)
    }
}
