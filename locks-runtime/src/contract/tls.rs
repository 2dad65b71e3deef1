//! TLS settings, which all stores on a network have in common.

use crate::values::error::Error;
use crate::values::secret::Secret;
use std::fmt;

/// What is in a file of certificates or of a key.
pub type Pem = Vec<u8>;

/// How TLS is spoken with a server.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The certificate and the private key by which this client identifies itself.
    pub identity: Option<Identity>,
    /// Whose signature the server's certificate must have. `None`: one of the system's authorities.
    pub ca: Option<Pem>,
    /// The name that the server's certificate must have, if it is not the host's.
    pub domain: Option<String>,
}

/// A client's certificate with its private key, both in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, and those up to the authority.
    pub certificate: Pem,
    /// Its private key.
    pub key: Secret<Pem>,
}

impl Tls {
    /// Checks that certificates and key are PEM: anything else would be noticed much later, and reported in the words
    /// of another crate.
    ///
    /// # Errors
    ///
    /// `InvalidUrl` naming the parameter.
    pub fn check(&self) -> Result<(), Error> {
        let identity = self.identity.as_ref().map(|own| [("cert", &own.certificate), ("key", own.key.reveal())]);
        let ca = self.ca.as_ref().map(|ca| ("ca", ca));
        for (name, bytes) in ca.into_iter().chain(identity.into_iter().flatten()) {
            if !bytes.windows(10).any(|window| window == b"-----BEGIN") {
                return Err(Error::invalid_url(format!("`{name}` holds no PEM")));
            }
        }
        Ok(())
    }
}

/// Whether there are certificates, and not their bytes.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("identity", &self.identity.is_some())
            .field("ca", &self.ca.is_some())
            .field("domain", &self.domain)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(key: &[u8]) -> Tls {
        let pem = b"-----BEGIN CERTIFICATE-----".to_vec();
        let identity = Identity { certificate: pem.clone(), key: Secret::new(key.to_vec()) };
        Tls { identity: Some(identity), ca: Some(pem), domain: None }
    }

    #[test]
    fn a_file_that_is_not_pem_is_named() {
        settings(b"-----BEGIN PRIVATE KEY-----").check().unwrap();
        let message = settings(b"x").check().unwrap_err().to_string();
        assert!(message.contains("`key`"), "{message}");
    }

    #[test]
    fn debug_does_not_show_the_key() {
        let shown = format!("{:?}", settings(b"hidden"));
        assert!(!shown.contains("104, 105"), "{shown}");
    }
}
