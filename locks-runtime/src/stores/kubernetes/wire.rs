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
        let exchanged = async {
            let (response, own) = self.respond(ask, token).await?;
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
            // It may be a connection whose other end has vanished.
            self.shared.lock().await.sender = None;
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
        let responded = tokio::time::timeout(limit, self.respond(ask, token)).await;
        // A connection with one request at a time is this stream's own, and ends with it.
        responded.map(|responded| responded.map(|(response, _)| response)).unwrap_or_else(|_| {
            let error =
                Error::unavailable(format!("the API server at {} did not answer within {limit:?}", self.config.server));
            Err(Broken { error, is_sent: true })
        })
    }

    async fn respond(
        &self,
        ask: &Ask,
        token: Option<&Secret>,
    ) -> Result<(Response<Incoming>, Option<http1::SendRequest<Full<Bytes>>>), Broken> {
        let unsent = |error| Broken { error, is_sent: false };
        let mut is_first = true;
        loop {
            let chosen = self.choose().await.map_err(unsent)?;
            let (error, is_sent) = match chosen {
                Chosen::Shared(mut sender, number) => {
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
