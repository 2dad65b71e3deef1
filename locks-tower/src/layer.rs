//! The layer.

use crate::key::RequestKey;
use crate::options::{Options, Until};
use crate::service::LockService;
use distributed_locks::{Locks, Mode};
use http::{Request, StatusCode};
use std::borrow::Cow;
use std::panic::Location;
use std::time::Duration;
use tower_layer::Layer;

/// Serves each request under a lock whose key is made of the request. See the [crate](crate) for what happens when.
///
/// # Examples
///
/// ```
/// use distributed_locks::{Key, Locks};
/// use http::Request;
/// use locks_tower::LockLayer;
///
/// # fn main() -> Result<(), distributed_locks::Error> {
/// let locks = Locks::connect("memory:layer")?;
/// let one_change_at_a_time = LockLayer::new(locks, |request: &Request<String>| {
///     // Reading needs no lock.
///     (!request.method().is_safe()).then(|| format!("/order/{}", Key::encode(request.uri().path())))
/// });
/// # drop(one_change_at_a_time);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct LockLayer<K> {
    locks: Locks,
    key: K,
    options: Options,
}

impl<K> LockLayer<K> {
    /// A layer of this client, with a function that makes a key of each request.
    #[track_caller]
    pub fn new<B, R>(locks: Locks, key: K) -> Self
    where
        K: Fn(&Request<B>) -> R,
        R: RequestKey,
    {
        let caller = Location::caller();
        let options = Options {
            wait: Duration::ZERO,
            ttl: None,
            mode: Mode::Exclusive,
            max_waiting: None,
            name: Cow::Borrowed("a request"),
            origin: format!("{}:{}", caller.file(), caller.line()).into(),
            until: Until::default(),
            busy: StatusCode::CONFLICT,
            retry_after: Duration::from_secs(1),
        };
        Self { locks, key, options }
    }

    /// How long a request waits for its lock. Default: not at all. Set [`max_waiting`](LockLayer::max_waiting), too: whoever sends
    /// many requests for one key otherwise keeps all of them open.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.options.wait = wait;
        self
    }

    /// How many requests may wait for one key in this process: one more is refused at once. Default: any number.
    #[must_use]
    pub fn max_waiting(mut self, most: u32) -> Self {
        self.options.max_waiting = Some(most);
        self
    }

    /// How long a lock outlives this process if it dies; it is renewed meanwhile. Default: the client's.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = Some(ttl);
        self
    }

    /// Who else may be served meanwhile: nobody by default, others that share it, or so many at a time.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.options.mode = mode;
        self
    }

    /// What the holder calls itself in the holder record, spans and metrics. Default: "a request".
    #[must_use]
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.options.name = name.into();
        self
    }

    /// Until when the lock is held. Default: [`Until::Body`].
    #[must_use]
    pub fn until(mut self, until: Until) -> Self {
        self.options.until = until;
        self
    }

    /// The status of the answer if another request is served under the key. Default: `409 Conflict`; `423 Locked` is the other
    /// one in use.
    #[must_use]
    pub fn busy_status(mut self, status: StatusCode) -> Self {
        self.options.busy = status;
        self
    }

    /// What a client that is refused for now gets as `Retry-After`, rounded up to seconds. Default: one second. It is about as long
    /// as your requests take: how long a lock is still held nobody knows, for it is renewed until its request is answered.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.options.retry_after = after;
        self
    }
}

impl<S, K: Clone> Layer<S> for LockLayer<K> {
    type Service = LockService<S, K>;

    fn layer(&self, inner: S) -> Self::Service {
        LockService::new(inner, self.locks.clone(), self.key.clone(), self.options.clone())
    }
}
