//! Why TLS with a server fails, in words. It blocks.

use crate::contract::{Tls, endpoint_parts};
use crate::values::error::{Error, ErrorKind};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error as TlsError,
    RootCertStore, SignatureScheme,
};
use std::io::{self, ErrorKind as Io, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

/// For the whole handshake, and then for the server's word about our certificate.
const LIMIT: Duration = Duration::from_secs(2);
const AFTERWARDS: Duration = Duration::from_millis(200);

/// The error of a handshake that fails for a reason; `None` if it succeeds, or says nothing.
pub(super) fn fails(tls: &Tls, endpoint: &str) -> Option<Error> {
    let (host, _) = endpoint_parts(endpoint)?;
    let failed = shake_hands(tls, endpoint, host)?.err()?;
    let cause = failed.get_ref()?.downcast_ref::<TlsError>()?;
    let (kind, reason) = explain(cause, host)?;
    let message = format!("no TLS with ZooKeeper at {endpoint}: {reason}");
    Some(Error::new(kind, message).with_source(cause.clone()))
}

/// `None` if it cannot even begin.
fn shake_hands(tls: &Tls, endpoint: &str, host: &str) -> Option<io::Result<()>> {
    let config = config(tls)?;
    let mut connection = ClientConnection::new(config.into(), ServerName::try_from(host.to_owned()).ok()?).ok()?;
    let mut stream = TcpStream::connect_timeout(&endpoint.to_socket_addrs().ok()?.next()?, LIMIT).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    stream.set_write_timeout(Some(LIMIT)).ok()?;
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(&mut stream) {
            return Some(Err(error));
        }
    }
    // In TLS 1.3 the client is done before the server has looked at its certificate.
    stream.set_read_timeout(Some(AFTERWARDS)).ok()?;
    match rustls::Stream::new(&mut connection, &mut stream).read(&mut [0]) {
        Err(error) if error.kind() == Io::InvalidData => Some(Err(error)),
        _ => Some(Ok(())),
    }
}

fn config(tls: &Tls) -> Option<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let roots = Arc::new(roots(certificates(tls.ca.as_deref()?)?)?);
    let inner = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build().ok()?;
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Verifier(inner)));
    match &tls.identity {
        None => Some(builder.with_no_client_auth()),
        Some(own) => {
            let key = PrivateKeyDer::from_pem_slice(own.key.reveal()).ok()?;
            builder.with_client_auth_cert(certificates(&own.certificate)?, key).ok()
        }
    }
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()
}

fn roots(certificates: Vec<CertificateDer<'_>>) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    certificates.into_iter().try_for_each(|certificate| roots.add(certificate)).ok()?;
    Some(roots)
}

/// What to say of a failure, if it is the certificates'.
fn explain(cause: &TlsError, host: &str) -> Option<(ErrorKind, String)> {
    use CertificateError as Cert;
    let reason = match cause {
        TlsError::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => {
            let reason = "the server refuses this client's certificate; `cert` and `key` must be signed by an authority that \
                          the server trusts, and not have expired";
            return Some((ErrorKind::Unauthorized, reason.to_owned()));
        }
        TlsError::InvalidCertificate(Cert::Expired | Cert::ExpiredContext { .. }) => {
            "the server's certificate has expired; renew it".to_owned()
        }
        TlsError::InvalidCertificate(Cert::NotValidYet | Cert::NotValidYetContext { .. }) => {
            "the server's certificate is not valid yet; check the clocks of both machines".to_owned()
        }
        TlsError::InvalidCertificate(Cert::NotValidForName | Cert::NotValidForNameContext { .. }) => {
            format!(
                "the server's certificate is not for the name `{host}`; use one of its names in the URL, or add this one"
            )
        }
        TlsError::InvalidCertificate(Cert::UnknownIssuer) => {
            "another authority than the one in `ca` signed the server's certificate".to_owned()
        }
        TlsError::InvalidCertificate(Cert::Other(other)) if other.to_string() == SELF_SIGNED => {
            "the server's certificate is self-signed; let an authority sign it, and name that by `ca`".to_owned()
        }
        TlsError::InvalidCertificate(_) => "the server's certificate is not accepted".to_owned(),
        _ => return None,
    };
    Some((ErrorKind::Unavailable, reason))
}

const SELF_SIGNED: &str = "self-signed";

/// Verifies as usual, and distinguishes a certificate that signed itself from one that an unknown authority signed.
#[derive(Debug)]
struct Verifier(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let unknown = TlsError::InvalidCertificate(CertificateError::UnknownIssuer);
        let verified = self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let Err(error) = verified else { return verified };
        // Trusting it as an authority leads to its issuer only if that is itself.
        let own = roots(vec![end_entity.clone()]).and_then(|roots| {
            WebPkiServerVerifier::builder_with_provider(roots.into(), ring::default_provider().into()).build().ok()
        });
        let by_itself = own.map(|own| own.verify_server_cert(end_entity, &[], server_name, ocsp_response, now));
        // One that is its own authority is refused as such before it is asked who signed it.
        let is_odd =
            matches!(error, TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::Other(_)));
        if is_odd && by_itself.is_some_and(|by_itself| by_itself.err() != Some(unknown)) {
            let other = rustls::OtherError(Arc::new(io::Error::other(SELF_SIGNED)));
            return Err(TlsError::InvalidCertificate(CertificateError::Other(other)));
        }
        Err(error)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
