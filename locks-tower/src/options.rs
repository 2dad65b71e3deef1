//! What can be set.

use distributed_locks::Mode;
use http::StatusCode;
use std::borrow::Cow;
use std::time::Duration;

/// Until when a request's lock is held, if it is not lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Until {
    /// The body of the answer has been produced to its end, or was dropped: a handler may do its work while it streams.
    #[default]
    Body,
    /// The handler has returned the head of the answer. What its body does afterwards is without the lock.
    Head,
}

/// What is asked for with each request.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) wait: Duration,
    pub(crate) ttl: Option<Duration>,
    pub(crate) mode: Mode,
    pub(crate) max_waiting: Option<u32>,
    pub(crate) name: Cow<'static, str>,
    pub(crate) origin: Cow<'static, str>,
    pub(crate) until: Until,
    pub(crate) busy: StatusCode,
    pub(crate) retry_after: Duration,
}
