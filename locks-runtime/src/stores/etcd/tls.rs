//! TLS to one member.

use crate::contract::{Identity, Tls, endpoint_parts};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fmt::Display;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const HTTP2: &[u8] = b"h2";

/// Makes TLS connections to one member.
#[derive(Clone)]
pub(super) struct Connector {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Connector {
    /// # Errors
    ///
    /// What is wrong with the settings.
    pub(super) fn new(tls: &Tls, endpoint: &str) -> Result<Self, String> {
        let host = endpoint_parts(endpoint).map_or(endpoint, |(host, _)| host);
        let name = tls.domain.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned()).map_err(|error| format!("`{name}`: {error}"))?;
        // The application's, if it has chosen one.
        let provider = CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(ring::default_provider()));
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots(tls)?);
        let mut config = match &tls.identity {
            None => builder.with_no_client_auth(),
            Some(Identity { certificate, key }) => {
                let key = PrivateKeyDer::from_pem_slice(key.reveal()).map_err(|error| format!("`key`: {error}"))?;
                let certificates = certificates("cert", certificate)?;
                builder
                    .with_client_auth_cert(certificates, key)
                    .map_err(|error| format!("`cert` and `key`: {error}"))?
            }
        };
        config.alpn_protocols.push(HTTP2.to_vec());
        Ok(Self { config: Arc::new(config), name })
    }

    pub(super) async fn connect(&self, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let stream = TlsConnector::from(Arc::clone(&self.config)).connect(self.name.clone(), socket).await?;
        if stream.get_ref().1.alpn_protocol() != Some(HTTP2) {
            return Err(io::Error::other("the server does not speak HTTP/2"));
        }
        Ok(stream)
    }
}

fn roots(tls: &Tls) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let trusted = match &tls.ca {
        Some(ca) => certificates("ca", ca)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    match roots.add_parsable_certificates(trusted).0 {
        0 => Err("no authority is trusted; name one by `ca=…`".to_owned()),
        _ => Ok(roots),
    }
}

fn certificates(name: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable = |error: &dyn Display| format!("`{name}`: {error}");
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| unreadable(&error))
}
