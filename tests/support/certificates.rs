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

/// What is wrong with a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerCertificate {
    /// Its time is over.
    Expired,
    /// It is another host's.
    OfAnotherHost,
    /// It signed itself.
    SelfSigned,
}

impl Certificates {
    /// Makes another certificate for the server, and another authority that signs it.
    pub fn replace_server(&self, server: ServerCertificate) {
        let (ca, key) = (authority(), KeyPair::generate().unwrap());
        let mut params = leaf("server");
        match server {
            ServerCertificate::Expired => params.not_after = rcgen::date_time_ymd(2020, 1, 1),
            ServerCertificate::OfAnotherHost => {
                let names = CertificateParams::new(["elsewhere.example".to_owned()]).unwrap();
                params.subject_alt_names = names.subject_alt_names;
            }
            ServerCertificate::SelfSigned => {}
        }
        let certificate = match server {
            ServerCertificate::SelfSigned => params.self_signed(&key).unwrap(),
            _ => params.signed_by(&key, &ca).unwrap(),
        };
        fs::write(self.ca(), ca.pem()).unwrap();
        fs::write(self.server(), certificate.pem()).unwrap();
        fs::write(self.server_key(), key.serialize_pem()).unwrap();
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
