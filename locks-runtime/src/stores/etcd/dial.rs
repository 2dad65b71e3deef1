//! How a connection to one member is made: TCP, TLS if it is asked for, HTTP/2.

use super::config::Config;
use super::driver::{self, Driver, Socket};
use super::pings::PING_EVERY;
use crate::world::World;
use bytes::Bytes;
use h2::client::SendRequest;
use hyper_util::client::legacy::connect::HttpConnector;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

/// What is needed to connect to one member.
#[derive(Clone)]
pub(super) struct Dial {
    world: World,
    endpoint: String,
    limit: Duration,
    #[cfg(feature = "etcd-tls")]
    tls: Option<super::tls::Connector>,
}

impl Dial {
    /// # Errors
    ///
    /// What is wrong with the TLS settings.
    pub(super) fn new(config: &Config, world: &World, endpoint: &str) -> Result<Self, String> {
        Ok(Self {
            world: world.clone(),
            endpoint: endpoint.to_owned(),
            limit: config.request_timeout(),
            #[cfg(feature = "etcd-tls")]
            tls: config.tls.as_ref().map(|tls| super::tls::Connector::new(tls, endpoint)).transpose()?,
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
            return Ok(Box::new(tls.connect(socket).await?));
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
