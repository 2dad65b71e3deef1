//! How a connection to the API server is made: TCP, TLS, and HTTP/2 or, where the server has no other, HTTP/1.1.

use super::config::Config;
use crate::contract::Tls;
use crate::contract::tls_client::TlsClient;
use crate::values::error::Error;
use crate::world::World;
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// How often a connection is asked whether it is still one, and how long it may take to answer: a server that vanished without a word
/// is noticed after both.
const PING_EVERY: Duration = Duration::from_secs(5);
const PONG_WITHIN: Duration = Duration::from_secs(5);

/// What is spoken over TLS, by preference.
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// What takes requests on a connection.
pub(super) enum Sender {
    /// As many at once as the server allows.
    Http2(http2::SendRequest<Full<Bytes>>),
    /// One after another.
    Http1(http1::SendRequest<Full<Bytes>>),
}

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// Connects, within the time that one request has. In the background: the caller's own runtime may end before the connection does.
pub(super) async fn connect(config: &Arc<Config>, world: &World) -> Result<Sender, Error> {
    let limit = config.request_timeout();
    let (connected, outcome) = tokio::sync::oneshot::channel();
    let (config, in_background) = (Arc::clone(config), world.clone());
    world.spawn(async move {
        let attempt = tokio::time::timeout(limit, attempt(&config, &in_background)).await;
        let late = |_| Err(Error::unavailable(format!("{} did not answer within {limit:?}", config.server)));
        // Nobody may want it any more.
        drop(connected.send(attempt.unwrap_or_else(late)));
    });
    outcome.await.unwrap_or_else(|_| Err(Error::unavailable("the background thread has ended")))
}

async fn attempt(config: &Config, world: &World) -> Result<Sender, Error> {
    let unreachable = |cause: io::Error| {
        Error::unavailable(format!("the API server at {} cannot be reached", config.server)).with_source(cause)
    };
    #[cfg(feature = "testing")]
    if let Some(dial) = world.stream_dial() {
        let socket = (dial.0)(&config.server).await.map_err(unreachable)?;
        // What TLS would have chosen.
        return if config.tls.is_some() {
            http2(config, world, Box::new(socket)).await
        } else {
            http1(config, world, Box::new(socket)).await
        };
    }
    let socket = TcpStream::connect(&config.server).await.map_err(unreachable)?;
    socket.set_nodelay(true).map_err(unreachable)?;
    let Some(tls) = &config.tls else { return http1(config, world, Box::new(socket)).await };
    let (read, tls) = (config.clone(), tls.clone());
    // The authorities are read anew for each connection: a cluster's may be replaced.
    let tls = world.block(move || TlsClient::new(&Tls { ca: read.ca()?, ..tls }, &[HTTP2, HTTP1])).await;
    let tls = tls.unwrap_or_else(|| Err(Error::unavailable("the TLS settings cannot be read")))?;
    let stream = tls.connect(&config.server, socket).await.map_err(|cause| no_tls(config, cause))?;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
    if is_http2 { http2(config, world, Box::new(stream)).await } else { http1(config, world, Box::new(stream)).await }
}

async fn http2(config: &Config, world: &World, socket: Box<dyn Socket>) -> Result<Sender, Error> {
    let (sender, connection) = http2::Builder::new(Background { world: world.clone() })
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN)
        .keep_alive_while_idle(true)
        .handshake(TokioIo::new(socket))
        .await
        .map_err(|cause| broken(config, cause))?;
    world.spawn(async move { drop(connection.await) });
    Ok(Sender::Http2(sender))
}

async fn http1(config: &Config, world: &World, socket: Box<dyn Socket>) -> Result<Sender, Error> {
    let (sender, connection) = http1::handshake(TokioIo::new(socket)).await.map_err(|cause| broken(config, cause))?;
    world.spawn(async move { drop(connection.await) });
    Ok(Sender::Http1(sender))
}

/// What a connection runs beside its requests.
#[derive(Clone)]
struct Background {
    world: World,
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Background {
    fn execute(&self, future: F) {
        self.world.spawn(future);
    }
}

pub(super) fn broken(config: &Config, cause: hyper::Error) -> Error {
    Error::unavailable(format!("the connection to the API server at {} is broken", config.server)).with_source(cause)
}

/// A certificate, or what refuses ours, may be replaced: it is tried again, and then said.
fn no_tls(config: &Config, cause: io::Error) -> Error {
    let server = &config.server;
    let what = match cause.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_)) => format!(
            "the certificate of {server} is not accepted; `ca=` names the file of the cluster's authority, which signed it"
        ),
        Some(rustls::Error::AlertReceived(_)) => {
            format!("{server} refuses the connection; does it accept the certificate in `cert=`?")
        }
        _ => format!(
            "TLS with {server} cannot be begun; is it an API server? `kubectl cluster-info` shows where that is"
        ),
    };
    Error::unavailable(what).with_source(cause)
}
