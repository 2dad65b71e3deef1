//! TLS as libpq's `sslmode` names it.

use super::config::Encryption;
use crate::contract::Identity;
use crate::values::error::Error;
use mysql_async::{ClientIdentity, SslOpts};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The client crate's settings.
pub(super) fn options(encryption: &Encryption) -> Result<SslOpts, Error> {
    // The client crate takes the process's provider; where another crate has installed one, that one stays.
    drop(rustls::crypto::ring::default_provider().install_default());
    let Encryption { verify, tls } = encryption;
    let mut options = SslOpts::default();
    if *verify {
        let roots = roots(tls.ca.as_deref())?.into_iter().map(Into::into).collect();
        options = options.with_disable_built_in_roots(true).with_root_certs(roots);
        if let Some(domain) = &tls.domain {
            options = options.with_danger_tls_hostname_override(Some(domain.clone()));
        }
    } else {
        options = options.with_danger_accept_invalid_certs(true).with_danger_skip_domain_validation(true);
    }
    if let Some(Identity { certificate, key }) = &tls.identity {
        certificates("cert", certificate)?;
        PrivateKeyDer::from_pem_slice(key.reveal()).map_err(|cause| unreadable("key", cause))?;
        let identity = ClientIdentity::new(certificate.clone().into(), key.reveal().clone().into());
        options = options.with_client_identity(Some(identity));
    }
    Ok(options)
}

fn roots(ca: Option<&[u8]>) -> Result<Vec<Vec<u8>>, Error> {
    let found = match ca {
        Some(pem) => certificates("ca", pem)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    if found.is_empty() {
        return Err(Error::invalid_url("this system trusts no authority; name one by `ca=…`"));
    }
    Ok(found.into_iter().map(|certificate| certificate.to_vec()).collect())
}

fn certificates(name: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|cause| unreadable(name, cause))?;
    if read.is_empty() {
        return Err(Error::invalid_url(format!("`{name}` contains no certificate")));
    }
    Ok(read)
}

fn unreadable(name: &str, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::invalid_url(format!("`{name}` cannot be read as PEM")).with_source(cause)
}
