//! A certificate authority for one server.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};

/// The PEM files of an authority, a server and a client. They live in the server's directory.
#[derive(Clone, Debug)]
pub struct Certificates {
    directory: PathBuf,
}

impl Certificates {
    /// The authority's certificate.
    pub fn ca(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// The client's certificate.
    pub fn cert(&self) -> PathBuf {
        self.directory.join("client.pem")
    }

    /// The client's private key.
    pub fn key(&self) -> PathBuf {
        self.directory.join("client-key.pem")
    }

    /// The client's files, as parameters of a URL.
    pub fn identity(&self) -> String {
        format!("cert={}&key={}", self.cert().display(), self.key().display())
    }

    /// The server's certificate.
    pub(crate) fn server(&self) -> PathBuf {
        self.directory.join("server.pem")
    }

    /// The server's private key.
    pub(crate) fn server_key(&self) -> PathBuf {
        self.directory.join("server-key.pem")
    }

    pub(crate) fn create(directory: &Path) -> Certificates {
        let ca = authority();
        fs::write(directory.join("ca.pem"), ca.pem()).unwrap();
        for name in ["server", "client"] {
            let key = KeyPair::generate().unwrap();
            let certificate = leaf(name).signed_by(&key, &ca).unwrap();
            fs::write(directory.join(format!("{name}.pem")), certificate.pem()).unwrap();
            fs::write(directory.join(format!("{name}-key.pem")), key.serialize_pem()).unwrap();
        }
        Certificates { directory: directory.to_owned() }
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "test authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn leaf(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    // Both for both: etcd's own gateway is a client that shows the server's certificate.
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}
