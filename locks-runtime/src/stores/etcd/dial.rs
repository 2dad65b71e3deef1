//! How a connection to one member is made: TCP, TLS if it is asked for, HTTP/2.

use super::config::Config;
use super::driver::{self, Driver, Socket};
use super::pings::PING_EVERY;
#[cfg(feature = "etcd-tls")]
use crate::contract::tls_client::TlsClient;
use crate::values::error::Error;
use crate::world::World;
use bytes::Bytes;
use h2::client::SendRequest;
use hyper_util::client::legacy::connect::HttpConnector;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

#[cfg(feature = "etcd-tls")]
const HTTP2: &[u8] = b"h2";

/// What is needed to connect to one member.
#[derive(Clone)]
pub(super) struct Dial {
    world: World,
    endpoint: String,
    limit: Duration,
    #[cfg(feature = "etcd-tls")]
    tls: Option<TlsClient>,
}

impl Dial {
    /// # Errors
    ///
    /// What is wrong with the TLS settings.
    pub(super) fn new(config: &Config, world: &World, endpoint: &str) -> Result<Self, Error> {
        Ok(Self {
            world: world.clone(),
            endpoint: endpoint.to_owned(),
            limit: config.request_timeout(),
            #[cfg(feature = "etcd-tls")]
            tls: config.tls.as_ref().map(|tls| TlsClient::new(tls, &[HTTP2])).transpose()?,
        })
    }

    pub(super) fn world(&self) -> &World {
        &self.world
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(super) fn is_encrypted(&self) -> bool {
        #[cfg(feature = "etcd-tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "etcd-tls"))]
        false
    }

    /// Connects, within the time that one request has.
    pub(super) async fn connect(&self) -> io::Result<(SendRequest<Bytes>, Arc<Driver>)> {
        let connecting = async { driver::connect(&self.world, self.socket().await?).await };
        tokio::time::timeout(self.limit, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn socket(&self) -> io::Result<Box<dyn Socket>> {
        let socket = self.tcp().await?;
        #[cfg(feature = "etcd-tls")]
        if let Some(tls) = &self.tls {
            let stream = tls.connect(&self.endpoint, socket).await?;
            if stream.get_ref().1.alpn_protocol() != Some(HTTP2) {
                return Err(io::Error::other("the server does not speak HTTP/2"));
            }
            return Ok(Box::new(stream));
        }
        Ok(Box::new(socket))
    }

    /// Of all addresses the one that answers first, IPv6's by preference.
    async fn tcp(&self) -> io::Result<tokio::net::TcpStream> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_keepalive(Some(PING_EVERY));
        connector.set_connect_timeout(Some(self.limit));
        let address = format!("http://{}", self.endpoint).parse().map_err(io::Error::other)?;
        Ok(connector.oneshot(address).await.map_err(io::Error::other)?.into_inner())
    }
}
