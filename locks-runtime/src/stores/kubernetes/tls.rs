//! TLS to the API server. The authorities are read anew for each connection: a cluster's may be replaced.

use super::config::Config;
use crate::contract::{Identity, Pem, Tls, endpoint_parts};
use crate::values::error::Error;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// What is spoken over it, by preference.
pub(super) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// The settings of one connection, and the name that the server's certificate must have.
///
/// # Errors
///
/// `InvalidUrl`: what is wrong with the settings.
pub(super) fn settings(config: &Config, tls: &Tls) -> Result<(Arc<ClientConfig>, ServerName<'static>), Error> {
    let host = endpoint_parts(&config.server).map_or(config.server.as_str(), |(host, _)| host);
    let name = tls.domain.as_deref().unwrap_or(host);
    let name = ServerName::try_from(name.to_owned())
        .map_err(|cause| Error::invalid_url(format!("no certificate can be for `{name}`")).with_source(cause))?;
    // The application's, if it has chosen one.
    let provider = CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(ring::default_provider()));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| Error::invalid_url("TLS cannot be set up").with_source(cause))?
        .with_root_certificates(roots(config.ca()?)?);
    let mut settings = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificate, key }) => {
            let key = PrivateKeyDer::from_pem_slice(key.reveal()).map_err(|cause| unreadable("key", cause))?;
            builder
                .with_client_auth_cert(certificates("cert", certificate)?, key)
                .map_err(|cause| Error::invalid_url("`cert` and `key` do not belong together").with_source(cause))?
        }
    };
    settings.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
    Ok((Arc::new(settings), name))
}

fn roots(ca: Option<Pem>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let trusted = match ca {
        Some(ca) => certificates("ca", &ca)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    match roots.add_parsable_certificates(trusted).0 {
        0 => Err(Error::invalid_url("no authority is trusted; name the file of the cluster's by `ca=…`")),
        _ => Ok(roots),
    }
}

fn certificates(name: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|cause| unreadable(name, cause))
}

fn unreadable(name: &str, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::invalid_url(format!("`{name}` cannot be read as PEM")).with_source(cause)
}
