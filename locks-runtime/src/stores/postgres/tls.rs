//! TLS as libpq's `sslmode` names it.

use super::config::Encryption;
use crate::contract::Identity;
use crate::values::error::Error;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::Arc;
use tokio_postgres::Socket;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Makes TLS connections, by another name than the host's if one is given.
#[derive(Clone)]
pub(super) struct Connector {
    inner: MakeRustlsConnect,
    domain: Option<String>,
}

impl Connector {
    pub(super) fn new(encryption: &Encryption) -> Result<Self, Error> {
        let Encryption { verify, tls } = encryption;
        let provider = Arc::new(ring::default_provider());
        let versions = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|cause| Error::invalid_url("TLS cannot be set up").with_source(cause))?;
        let trusting = if *verify {
            versions.with_root_certificates(roots(tls.ca.as_deref())?)
        } else {
            versions.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        };
        let config = match &tls.identity {
            None => trusting.with_no_client_auth(),
            Some(Identity { certificate, key }) => {
                let key = PrivateKeyDer::from_pem_slice(key.reveal()).map_err(|cause| unreadable("key", cause))?;
                trusting
                    .with_client_auth_cert(certificates("cert", certificate)?, key)
                    .map_err(|cause| Error::invalid_url("`cert` and `key` do not belong together").with_source(cause))?
            }
        };
        Ok(Self { inner: MakeRustlsConnect::new(config), domain: tls.domain.clone() })
    }
}

impl MakeTlsConnect<Socket> for Connector {
    type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;
    type TlsConnect = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;
    type Error = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<Self::TlsConnect, Self::Error> {
        let domain = self.domain.as_deref().unwrap_or(host);
        <MakeRustlsConnect as MakeTlsConnect<Socket>>::make_tls_connect(&mut self.inner, domain)
    }
}

fn roots(ca: Option<&[u8]>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(pem) => {
            for certificate in certificates("ca", pem)? {
                roots.add(certificate).map_err(|cause| unreadable("ca", cause))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            if roots.add_parsable_certificates(found.certs).0 == 0 {
                return Err(Error::invalid_url("this system trusts no authority; name one by `ca=…`"));
            }
        }
    }
    Ok(roots)
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

/// Trusts any certificate: `sslmode=require` asks for encryption and nothing else.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
