//! Why no session could be opened. The client crate does not report the reason, so each server is tried once more, step by
//! step.

use super::config::Config;
use super::error::Failure;
#[cfg(feature = "zookeeper-tls")]
use super::handshake;
use crate::values::error::{Error, ErrorKind};
use crate::world::World;
use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// For each step: what is closed or refused is so at once.
const STEP: Duration = Duration::from_millis(200);

pub(super) async fn no_session(config: &Config, world: &World, failure: Failure) -> Error {
    let servers = config.servers();
    let error = failure.into_error(&servers, "");
    if error.kind() != ErrorKind::Unavailable {
        return error;
    }
    for endpoint in &config.endpoints {
        if let Some(reason) = ask(config, world, endpoint).await {
            return reason;
        }
    }
    let tls = if config.tls.is_some() { "TLS with a certificate that `ca` signed" } else { "plain text" };
    let message = format!(
        "ZooKeeper at {servers} opens no session; check that the ensemble has a leader, and that it is ZooKeeper that \
         speaks {tls} there"
    );
    Error::unavailable(message).with_source(error)
}

/// What one server does about a connection; `None` if nothing is wrong with it so far.
async fn ask(config: &Config, world: &World, endpoint: &str) -> Option<Error> {
    let servers = config.servers();
    let closes = |cause| {
        let message = format!(
            "ZooKeeper at {endpoint} closes each connection at once, as it does when there are more than `maxClientCnxns` (60 \
             by default) of one host: each client has a connection for each TTL that it uses, and for each watch; use fewer, \
             or raise that limit"
        );
        Error::unavailable(message).with_source(cause)
    };
    let mut stream = match tokio::time::timeout(STEP, TcpStream::connect(endpoint)).await {
        Ok(Ok(stream)) => stream,
        // It may be closed before this side has seen that it was there.
        Ok(Err(cause)) if matches!(cause.kind(), BrokenPipe | ConnectionReset | ConnectionAborted) => {
            return Some(closes(cause));
        }
        Ok(Err(cause)) => {
            let message = format!("no answer from ZooKeeper at {servers}; {endpoint} refuses the connection");
            return Some(Error::unavailable(message).with_source(cause));
        }
        Err(_) => return None,
    };
    // Servers wait for the client's first word. One that has too many connections does not.
    let closed = tokio::time::timeout(STEP, stream.read_u8()).await;
    if let Ok(Err(cause)) = closed {
        return Some(closes(cause));
    }
    drop(stream);
    tls(config, world, endpoint).await
}

#[cfg(feature = "zookeeper-tls")]
async fn tls(config: &Config, world: &World, endpoint: &str) -> Option<Error> {
    let (tls, endpoint) = (config.tls.clone()?, endpoint.to_owned());
    world.block(move || handshake::fails(&tls, &endpoint)).await?
}

#[cfg(not(feature = "zookeeper-tls"))]
#[expect(clippy::unused_async, reason = "with TLS it waits")]
async fn tls(_: &Config, _: &World, _: &str) -> Option<Error> {
    None
}
