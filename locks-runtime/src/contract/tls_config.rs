//! TLS as rustls is set up for it, by the settings that all stores have in common.

use super::tls::{Identity, Tls};
use crate::values::error::Error;
use rustls::client::WantsClientCert;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use std::sync::Arc;

/// The application's, if it has chosen one.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(ring::default_provider()))
}

pub(crate) fn builder(provider: Arc<CryptoProvider>) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, Error> {
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| Error::invalid_url("TLS cannot be set up").with_source(cause))
}

/// Whom to trust.
pub(crate) fn roots(tls: &Tls) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = &tls.ca {
        for certificate in certificates("ca", ca)? {
            roots.add(certificate).map_err(|cause| unreadable("ca", cause))?;
        }
        return Ok(roots);
    }
    // Of the system's, one that cannot be used is no matter.
    match roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs).0 {
        0 => Err(Error::invalid_url("this system trusts no authority; name one by `ca=…`")),
        _ => Ok(roots),
    }
}

/// With the client's own certificate, if it has one.
pub(crate) fn identified(
    trusting: ConfigBuilder<ClientConfig, WantsClientCert>,
    identity: Option<&Identity>,
) -> Result<ClientConfig, Error> {
    let Some(Identity { certificate, key }) = identity else { return Ok(trusting.with_no_client_auth()) };
    let key = PrivateKeyDer::from_pem_slice(key.reveal()).map_err(|cause| unreadable("key", cause))?;
    trusting
        .with_client_auth_cert(certificates("cert", certificate)?, key)
        .map_err(|cause| Error::invalid_url("`cert` and `key` do not belong together").with_source(cause))
}

fn certificates(parameter: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let read = read.map_err(|cause| unreadable(parameter, cause))?;
    if read.is_empty() {
        return Err(Error::invalid_url(format!("`{parameter}` contains no certificate")));
    }
    Ok(read)
}

fn unreadable(parameter: &str, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::invalid_url(format!("`{parameter}` cannot be read as PEM")).with_source(cause)
}
