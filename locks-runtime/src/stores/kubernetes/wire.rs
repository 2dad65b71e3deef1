//! The connections for one purpose, and how a request goes over them. Renewals have their own: a hundred streams of one connection
//! may be watches, and nothing else goes through then.

use super::config::Config;
use super::dial::{self, Sender};
use super::time;
use crate::values::error::Error;
use crate::values::mutex::Mutex;
use crate::values::secret::Secret;
use crate::world::World;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// No answer is longer.
const LONGEST: usize = 64 * 1024 * 1024;
/// How many idle connections are kept, where each has one request at a time.
const IDLE: usize = 32;
const AGENT: &str = concat!("distributed-locks/", env!("CARGO_PKG_VERSION"));

/// A request to the API.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// As a Role names it.
    pub(super) verb: &'static str,
    pub(super) method: Method,
    /// With its query.
    pub(super) path: String,
    pub(super) content: &'static str,
    pub(super) body: Bytes,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    /// What time it is by the server's clock, in milliseconds since 1970.
    pub(super) server_ms: Option<u64>,
    pub(super) body: Bytes,
}

/// There was no answer.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) error: Error,
    /// It was sent, and may be carried out yet.
    pub(super) is_sent: bool,
}

/// The connections for one purpose.
#[derive(Debug)]
pub(super) struct Wire {
    config: Arc<Config>,
    world: World,
    /// The connection that takes many requests at once, with a number of its own.
    shared: tokio::sync::Mutex<Shared>,
    idle: Mutex<Vec<http1::SendRequest<Full<Bytes>>>>,
}

#[derive(Debug, Default)]
struct Shared {
    sender: Option<http2::SendRequest<Full<Bytes>>>,
    number: u64,
}

/// A connection for one request.
enum Chosen {
    Shared(http2::SendRequest<Full<Bytes>>, u64),
    Own(http1::SendRequest<Full<Bytes>>),
}

impl Wire {
    pub(super) fn new(config: &Arc<Config>, world: &World) -> Self {
        Self {
            config: Arc::clone(config),
            world: world.clone(),
            shared: tokio::sync::Mutex::default(),
            idle: Mutex::default(),
        }
    }

    /// Sends a request and reads the whole answer. One that was certainly not sent, because its connection was over, is sent once more
    /// over another.
    pub(super) async fn exchange(&self, ask: &Ask, token: Option<&Secret>, limit: Duration) -> Result<Reply, Broken> {
        let on = AtomicU64::new(0);
        let exchanged = async {
            let (response, own) = self.respond(ask, token, &on).await?;
            let (status, server_ms) = (response.status(), date(&response));
            let body = Limited::new(response.into_body(), LONGEST).collect().await.map_err(|cause| Broken {
                error: Error::unavailable(format!("the answer of {} breaks off", self.config.server))
                    .with_source(cause),
                is_sent: true,
            })?;
            self.put_back(own);
            Ok(Reply { status, server_ms, body: body.to_bytes() })
        };
        let Ok(exchanged) = tokio::time::timeout(limit, exchanged).await else {
            self.leave(on.into_inner());
            let error =
                Error::unavailable(format!("the API server at {} did not answer within {limit:?}", self.config.server));
            return Err(Broken { error, is_sent: true });
        };
        exchanged
    }

    /// Sends a request, and returns its answer when it begins: what follows of it is a stream.
    pub(super) async fn stream(
        &self,
        ask: &Ask,
        token: Option<&Secret>,
        limit: Duration,
    ) -> Result<Response<Incoming>, Broken> {
        let responded = tokio::time::timeout(limit, self.respond(ask, token, &AtomicU64::new(0))).await;
        // A connection with one request at a time is this stream's own, and ends with it.
        responded.map(|responded| responded.map(|(response, _)| response)).unwrap_or_else(|_| {
            let error =
                Error::unavailable(format!("the API server at {} did not answer within {limit:?}", self.config.server));
            Err(Broken { error, is_sent: true })
        })
    }

    /// On a connection that others are on, too, its number is in `on`.
    async fn respond(
        &self,
        ask: &Ask,
        token: Option<&Secret>,
        on: &AtomicU64,
    ) -> Result<(Response<Incoming>, Option<http1::SendRequest<Full<Bytes>>>), Broken> {
        let unsent = |error| Broken { error, is_sent: false };
        let mut is_first = true;
        loop {
            let chosen = self.choose().await.map_err(unsent)?;
            let (error, is_sent) = match chosen {
                Chosen::Shared(mut sender, number) => {
                    on.store(number, Ordering::Relaxed);
                    let request =
                        request(ask, &format!("https://{}{}", self.config.server, ask.path), token).map_err(unsent)?;
                    match sender.try_send_request(request).await {
                        Ok(response) => return Ok((response, None)),
                        Err(mut failed) => {
                            let mut shared = self.shared.lock().await;
                            if shared.number == number {
                                shared.sender = None;
                            }
                            let is_sent = failed.take_message().is_none();
                            (failed.into_error(), is_sent)
                        }
                    }
                }
                Chosen::Own(mut sender) => {
                    let mut request = request(ask, &ask.path, token).map_err(unsent)?;
                    let host = self.config.server.parse().map_err(|_| unsent(Error::invalid_url("not a host")))?;
                    request.headers_mut().insert(header::HOST, host);
                    match sender.try_send_request(request).await {
                        Ok(response) => return Ok((response, Some(sender))),
                        Err(mut failed) => {
                            let is_sent = failed.take_message().is_none();
                            (failed.into_error(), is_sent)
                        }
                    }
                }
            };
            if is_sent || !std::mem::replace(&mut is_first, false) {
                return Err(Broken { error: dial::broken(&self.config, error), is_sent });
            }
        }
    }

    async fn choose(&self) -> Result<Chosen, Error> {
        while let Some(mut sender) = self.take_idle() {
            // It fails if the connection is over.
            if sender.ready().await.is_ok() {
                return Ok(Chosen::Own(sender));
            }
        }
        let mut shared = self.shared.lock().await;
        if let Some(sender) = shared.sender.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(Chosen::Shared(sender.clone(), shared.number));
        }
        match dial::connect(&self.config, &self.world).await? {
            Sender::Http1(sender) => Ok(Chosen::Own(sender)),
            Sender::Http2(sender) => {
                shared.number += 1;
                shared.sender = Some(sender.clone());
                Ok(Chosen::Shared(sender, shared.number))
            }
        }
    }

    /// The other end of the connection with this number may have vanished. A newer one is left alone: where a server is slow, each
    /// request that is late would take the next connection from those who wait for it. One that is being made is newer.
    fn leave(&self, number: u64) {
        if let Ok(mut shared) = self.shared.try_lock()
            && shared.number == number
        {
            shared.sender = None;
        }
    }

    fn take_idle(&self) -> Option<http1::SendRequest<Full<Bytes>>> {
        self.idle.lock().pop()
    }

    fn put_back(&self, own: Option<http1::SendRequest<Full<Bytes>>>) {
        let mut idle = self.idle.lock();
        idle.extend(own);
        idle.truncate(IDLE);
    }
}

fn request(ask: &Ask, address: &str, token: Option<&Secret>) -> Result<Request<Full<Bytes>>, Error> {
    let mut request = Request::builder()
        .method(ask.method.clone())
        .uri(address)
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, AGENT);
    if !ask.body.is_empty() {
        request = request.header(header::CONTENT_TYPE, ask.content);
    }
    if let Some(token) = token {
        let mut value = header::HeaderValue::try_from(format!("Bearer {}", token.reveal()))
            .map_err(|cause| Error::invalid_url("the token cannot be sent").with_source(cause))?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    request
        .body(Full::new(ask.body.clone()))
        .map_err(|cause| Error::invalid_url("the server cannot be addressed so").with_source(cause))
}

fn date(response: &Response<Incoming>) -> Option<u64> {
    response.headers().get(header::DATE).and_then(|date| time::read_date(date.to_str().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper_util::rt::TokioIo;

    /// Whatever a connection wants to run beside its requests is not run: nothing is sent.
    #[derive(Clone)]
    struct Nothing;

    impl<F> hyper::rt::Executor<F> for Nothing {
        fn execute(&self, _: F) {}
    }

    #[tokio::test]
    async fn a_late_request_leaves_its_own_connection_and_none_that_is_newer() {
        let config = Config {
            server: "localhost:1".to_owned(),
            namespace: "app".to_owned(),
            tls: None,
            ca_file: None,
            token_file: None,
            connect_timeout: Duration::from_secs(1),
        };
        let wire = Wire::new(&Arc::new(config), &World::here());
        let (ours, _theirs) = tokio::io::duplex(1024);
        let (sender, _connection) = http2::handshake(Nothing, TokioIo::new(ours)).await.unwrap();
        *wire.shared.lock().await = Shared { sender: Some(sender), number: 2 };
        for (number, is_left) in [(0, false), (1, false), (2, true)] {
            wire.leave(number);
            assert_eq!(wire.shared.lock().await.sender.is_none(), is_left, "{number}");
        }
    }
}
