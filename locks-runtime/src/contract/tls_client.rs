//! TLS with a server, over a socket.

use super::endpoint::endpoint_parts;
use super::tls::Tls;
use super::tls_config::{builder, identified, provider, roots};
use crate::values::error::Error;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Makes TLS connections. Cheap to clone.
#[derive(Clone)]
pub(crate) struct TlsClient {
    config: Arc<ClientConfig>,
    /// What the certificate has to be for, if it is not the host.
    domain: Option<ServerName<'static>>,
}

impl TlsClient {
    /// Which of `protocols` is spoken over it, by preference, the server chooses.
    ///
    /// # Errors
    ///
    /// `InvalidUrl`: what is wrong with the settings.
    pub(crate) fn new(tls: &Tls, protocols: &[&[u8]]) -> Result<Self, Error> {
        let trusting = builder(provider())?.with_root_certificates(roots(tls)?);
        let mut config = identified(trusting, tls.identity.as_ref())?;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let domain = tls.domain.as_deref().map(name).transpose()?;
        Ok(Self { config: Arc::new(config), domain })
    }

    pub(crate) async fn connect(&self, endpoint: &str, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = match (&self.domain, endpoint_parts(endpoint)) {
            (Some(domain), _) => domain.clone(),
            (None, parts) => name(parts.map_or(endpoint, |(host, _)| host)).map_err(io::Error::other)?,
        };
        TlsConnector::from(Arc::clone(&self.config)).connect(name, socket).await
    }
}

fn name(name: &str) -> Result<ServerName<'static>, Error> {
    ServerName::try_from(name.to_owned())
        .map_err(|cause| Error::invalid_url(format!("no certificate can be for `{name}`")).with_source(cause))
}
