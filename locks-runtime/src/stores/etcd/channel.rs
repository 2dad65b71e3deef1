//! The channel under the client crate: one HTTP/2 connection to one member, made when the first request needs it and again
//! when it is gone.
//!
//! The client crate's own channel gives each request to a task that gives it to the connection's task, which spawns one more
//! for the answer. This one puts the request into the connection where the request is made, and the answer is read by
//! whoever waits for it.

use super::dial::Dial;
use super::exchange::{Dialled, Exchange, Open};
use crate::values::mutex::Mutex;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri, Version};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::watch;
use tonic::body::Body;
use tower::{BoxError, Service};

/// A channel to one member. Cheap to clone.
#[derive(Clone)]
pub(super) struct Channel(Arc<Shared>);

struct Shared {
    dial: Dial,
    scheme: Scheme,
    authority: Authority,
    current: Mutex<Current>,
}

/// The connection, if there is one.
enum Current {
    None,
    /// It is being made, for all who need it.
    Dialling(Dialled),
    Open(Open),
}

impl Channel {
    /// A channel that dials when it is needed.
    pub(super) fn new(dial: Dial) -> Result<Self, http::Error> {
        let authority = Authority::try_from(dial.endpoint())?;
        let scheme = if dial.is_encrypted() { Scheme::HTTPS } else { Scheme::HTTP };
        Ok(Self(Arc::new(Shared { dial, scheme, authority, current: Mutex::new(Current::None) })))
    }

    /// The connection, or what will be known of it.
    fn current(&self) -> Result<Open, Dialled> {
        let mut current = self.0.current.lock();
        match &*current {
            Current::Open(open) if open.is_usable() => return Ok(open.clone()),
            // Whoever dialled may have been dropped with its runtime.
            Current::Dialling(dialled) if dialled.has_changed().is_ok() => return Err(dialled.clone()),
            Current::None | Current::Dialling(_) | Current::Open(_) => {}
        }
        let (sender, dialled) = watch::channel(None);
        *current = Current::Dialling(dialled.clone());
        drop(current);
        // In the background, whose sockets it is to be: the caller's runtime may end before.
        let shared = Arc::downgrade(&self.0);
        let dialling = self.0.dial.clone();
        self.0.dial.world().spawn(async move {
            let result = dialling.connect().await.map(|(send, driver)| Open { send, driver }).map_err(Arc::new);
            if let Some(shared) = shared.upgrade() {
                *shared.current.lock() = result.as_ref().map_or(Current::None, |open| Current::Open(open.clone()));
            }
            let _ = sender.send(Some(result));
        });
        Err(dialled)
    }

    /// The request as the connection takes it: the client crate names the method only.
    fn addressed(&self, request: Request<Body>) -> Request<Body> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.into_parts().path_and_query.unwrap_or(PathAndQuery::from_static("/"));
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(self.0.scheme.clone());
        uri.authority = Some(self.0.authority.clone());
        uri.path_and_query = Some(path);
        // All three are there, which is all that can be wrong.
        parts.uri = Uri::from_parts(uri).unwrap_or_default();
        parts.version = Version::HTTP_2;
        Request::from_parts(parts, body)
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Exchange;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    /// Sends the request at once if there is a connection, else when the future is polled and there is.
    fn call(&mut self, request: Request<Body>) -> Exchange {
        let request = self.addressed(request);
        let world = self.0.dial.world();
        match self.current() {
            Ok(open) => open.send(world, request),
            Err(dialled) => Exchange::after(dialled, world.clone(), request),
        }
    }
}
