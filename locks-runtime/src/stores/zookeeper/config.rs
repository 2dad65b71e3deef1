//! What a ZooKeeper store is reached by, checked before anything is sent.

use crate::contract::reach;
use crate::values::error::Error;
use std::fmt;
use std::time::Duration;
use zookeeper_client::{Acls, Client, Connector};

/// Where a ZooKeeper ensemble is, and who asks.
#[derive(Clone)]
pub struct Config {
    /// The servers as `host:port`; any of them will do, and more survive more.
    pub endpoints: Vec<String>,
    /// User and password for digest authentication; what is created is then theirs alone.
    pub user: Option<(String, String)>,
    /// The path that all locks lie under, such as `/app`; empty for none.
    pub root: String,
    /// How our own entries are named.
    pub layout: Layout,
    /// How long the caller is ready to wait for the first connection; each single request gets half of it at most.
    pub connect_timeout: Duration,
    /// TLS; `None` speaks plain text.
    pub tls: Option<Tls>,
}

/// How entries are named, so that clients of other libraries count them as theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// `_c_<uuid>-lock-0000000007`, as Apache Curator's `InterProcessMutex`.
    #[default]
    Curator,
    /// `<uuid>__lock__0000000007`, as the `Lock` of Kazoo (Python).
    Kazoo,
}

/// How to trust the ensemble, and how to be trusted by it. Needs the feature `zookeeper-tls`.
#[derive(Clone, Default)]
pub struct Tls {
    /// The authority that signed the servers' certificates, as PEM.
    pub ca: Vec<u8>,
    /// The client's own certificate and key, as PEM.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Config {
    /// How long one request may take.
    pub(super) fn attempt(&self) -> Duration {
        (self.connect_timeout / 2).clamp(Duration::from_millis(500), Duration::from_secs(5))
    }

    pub(super) fn servers(&self) -> String {
        self.endpoints.join(", ")
    }

    pub(super) fn acls(&self) -> Acls<'static> {
        if self.user.is_some() { Acls::creator_all() } else { Acls::anyone_all() }
    }

    /// A lock's node, or with an empty path the one that all lie under.
    pub(super) fn node(&self, path: &str) -> String {
        let node = format!("{}{path}", self.root);
        if node.is_empty() { "/".to_owned() } else { node }
    }

    /// Finds what can be found without a store.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.endpoints.is_empty() {
            return Err(Error::invalid_url(
                "a ZooKeeper store needs at least one server; write `zookeeper://host:2181`",
            ));
        }
        for endpoint in &self.endpoints {
            if reach::split(endpoint).is_none() {
                return Err(Error::invalid_url(format!("{endpoint:?} is not a server; write `host:port`")));
            }
        }
        if self.user.as_ref().is_some_and(|(name, _)| name.is_empty() || name.contains(':')) {
            return Err(Error::invalid_url("the user's name is empty or has a colon; write `user:password@host:2181`"));
        }
        if !self.root.is_empty() && super::names::path(&self.root) != self.root {
            return Err(Error::invalid_url(format!(
                "`{}` is not a path in ZooKeeper: no empty, `.` or `..` segments, no slash at its end, and not under \
                 `/zookeeper`",
                self.root
            )));
        }
        if self.connect_timeout.is_zero() {
            return Err(Error::invalid_url("`connect_timeout` is zero"));
        }
        self.connector(Duration::ZERO).map(drop)
    }

    /// Asks for a session; the crate tries each server once.
    pub(super) async fn connect(&self, timeout: Duration) -> Result<Client, zookeeper_client::Error> {
        let connector = self.connector(timeout).map_err(|_| zookeeper_client::Error::NoHosts)?;
        let servers = self.endpoints.join(",");
        #[cfg(feature = "zookeeper-tls")]
        if self.tls.is_some() {
            return Box::pin(connector.secure_connect(&servers)).await;
        }
        Box::pin(connector.connect(&servers)).await
    }

    fn connector(&self, timeout: Duration) -> Result<Connector, Error> {
        let mut connector = Client::connector()
            .with_fail_eagerly()
            .with_session_timeout(timeout)
            // Silence for so long, and the crate goes to another server.
            .with_connection_timeout((timeout / 3).min(self.attempt()));
        if let Some((user, password)) = &self.user {
            connector = connector.with_auth("digest", format!("{user}:{password}").as_bytes());
        }
        match &self.tls {
            Some(tls) => tls.add_to(connector),
            None => Ok(connector),
        }
    }
}

impl Tls {
    #[cfg(feature = "zookeeper-tls")]
    fn add_to(&self, connector: Connector) -> Result<Connector, Error> {
        use zookeeper_client::TlsOptions;
        fn text(pem: &[u8]) -> Result<&str, Error> {
            std::str::from_utf8(pem).map_err(|cause| Error::invalid_url("a PEM file holds no text").with_source(cause))
        }
        // The crate asks for the process's provider and would panic without one. An application may have chosen its own.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut options = TlsOptions::new()
            .with_pem_ca(text(&self.ca)?)
            .map_err(|cause| Error::invalid_url("`ca` holds no certificate in PEM").with_source(cause))?;
        if let Some((certificate, key)) = &self.identity {
            options = options
                .with_pem_identity(text(certificate)?, text(key)?)
                .map_err(|cause| Error::invalid_url("`cert` or `key` holds no PEM").with_source(cause))?;
        }
        Ok(connector.with_tls(options))
    }

    #[cfg(not(feature = "zookeeper-tls"))]
    #[expect(clippy::unused_self, reason = "with the feature it is used")]
    fn add_to(&self, _: Connector) -> Result<Connector, Error> {
        Err(Error::invalid_url("`zookeepers://` needs the feature `zookeeper-tls` of this crate"))
    }
}

/// Without the password.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("endpoints", &self.endpoints)
            .field("user", &self.user.as_ref().map(|(name, _)| name))
            .field("root", &self.root)
            .field("layout", &self.layout)
            .field("connect_timeout", &self.connect_timeout)
            .field("tls", &self.tls.is_some())
            .finish()
    }
}

/// Without the key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("identity", &self.identity.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::error::ErrorKind;

    fn config(endpoint: &str) -> Config {
        Config {
            endpoints: vec![endpoint.to_owned()],
            user: Some(("app".to_owned(), "secret".to_owned())),
            root: String::new(),
            layout: Layout::default(),
            connect_timeout: Duration::from_secs(5),
            tls: None,
        }
    }

    #[test]
    fn servers_are_host_and_port() {
        for good in ["a:2181", "10.0.0.1:1", "[::1]:2181", "zk-0.zk.svc:2181"] {
            config(good).check().unwrap();
        }
        for bad in ["", "a", "a:", ":2181", "a:0", "tcp://a:1", "u@a:1", "::1:2181"] {
            assert_eq!(config(bad).check().unwrap_err().kind(), ErrorKind::InvalidUrl, "{bad}");
        }
    }

    #[test]
    fn a_root_is_a_path() {
        for (root, fine) in [("/app", true), ("/a/b", true), ("/a//b", false), ("/a/", false), ("/zookeeper/x", false)]
        {
            let config = Config { root: root.to_owned(), ..config("a:1") };
            assert_eq!(config.check().is_ok(), fine, "{root}");
        }
    }

    #[test]
    fn debug_keeps_secrets() {
        let mut config = config("a:1");
        config.tls = Some(Tls { ca: Vec::new(), identity: Some((b"x".to_vec(), b"hidden".to_vec())) });
        let shown = format!("{config:?} {:?}", config.tls);
        assert!(!shown.contains("secret") && !shown.contains("hidden") && !shown.contains("104"), "{shown}");
        assert!(shown.contains("app"), "{shown}");
    }

    #[cfg(not(feature = "zookeeper-tls"))]
    #[test]
    fn tls_without_its_feature_names_the_feature() {
        let config = Config { tls: Some(Tls::default()), ..config("a:1") };
        assert!(config.check().unwrap_err().to_string().contains("`zookeeper-tls`"));
    }

    #[cfg(feature = "zookeeper-tls")]
    #[test]
    fn a_wrong_certificate_file_is_told_at_once() {
        let tls = Tls { ca: b"no certificate".to_vec(), identity: None };
        let config = Config { tls: Some(tls), ..config("a:1") };
        assert_eq!(config.check().unwrap_err().kind(), ErrorKind::InvalidUrl);
    }
}
