//! How a ZooKeeper ensemble is reached, checked before anything is sent.

use super::names;
use super::queue::Layout;
use crate::contract::{Tls, endpoint_parts, request_timeout};
use crate::values::error::Error;
use crate::values::secret::Credentials;
use std::fmt;
use std::time::Duration;
use zookeeper_client::{Acls, Client as ZkClient, Connector, Error as ZkError};

/// Where a ZooKeeper ensemble is, and how a client identifies itself.
#[derive(Clone)]
pub struct Config {
    /// The servers as `host:port`. Each of them will do; with several of them, some may be down.
    pub endpoints: Vec<String>,
    /// User and password for digest authentication. Only this user may then access what is created.
    pub credentials: Option<Credentials>,
    /// The path that all locks are under, such as `/app`; empty for none.
    pub root: String,
    /// How entries are named.
    pub layout: Layout,
    /// How long the caller is ready to wait for the first connection; each single request may take half of it, within
    /// half a second and five seconds.
    pub connect_timeout: Duration,
    /// TLS, which needs the feature `zookeeper-tls` and the servers' authority (`ca`); `None` speaks plain text.
    pub tls: Option<Tls>,
}

impl Config {
    /// How long one request may take.
    pub(super) fn request_timeout(&self) -> Duration {
        request_timeout(self.connect_timeout, 2)
    }

    /// All servers, for messages.
    pub(super) fn servers(&self) -> String {
        self.endpoints.join(", ")
    }

    pub(super) fn acls(&self) -> Acls<'static> {
        if self.credentials.is_some() { Acls::creator_all() } else { Acls::anyone_all() }
    }

    /// The node at `path` below the root; with an empty path the root itself.
    pub(super) fn node(&self, path: &str) -> String {
        let node = format!("{}{path}", self.root);
        if node.is_empty() { "/".to_owned() } else { node }
    }

    /// Finds the errors that can be found without a server.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.endpoints.is_empty() {
            return Err(Error::invalid_url(
                "a ZooKeeper store needs at least one server; write `zookeeper://host:2181`",
            ));
        }
        for endpoint in &self.endpoints {
            if endpoint_parts(endpoint).is_none() {
                return Err(Error::invalid_url(format!("{endpoint:?} is not a server; write `host:port`")));
            }
        }
        if self.credentials.as_ref().is_some_and(|own| own.user.is_empty() || own.user.contains(':')) {
            return Err(Error::invalid_url("the user's name is empty or has a colon; write `user:password@host:2181`"));
        }
        if !self.root.is_empty() && names::path(&self.root) != self.root {
            return Err(Error::invalid_url(format!(
                "`{}` is not a path in ZooKeeper: it must not have empty, `.` or `..` segments, end in a slash, or be \
                 under `/zookeeper`",
                self.root
            )));
        }
        if self.connect_timeout.is_zero() {
            return Err(Error::invalid_url("`connect_timeout` is zero"));
        }
        self.connector(Duration::ZERO).map(drop)
    }

    /// Opens a session; the client crate tries each server once.
    pub(super) async fn connect(&self, timeout: Duration, ends_with_client: bool) -> Result<ZkClient, ZkError> {
        let connector = self.connector(timeout).map_err(|_| ZkError::NoHosts)?;
        let connector = if ends_with_client { connector } else { connector.with_detached() };
        let servers = self.endpoints.join(",");
        #[cfg(feature = "zookeeper-tls")]
        if self.tls.is_some() {
            return Box::pin(connector.secure_connect(&servers)).await;
        }
        Box::pin(connector.connect(&servers)).await
    }

    fn connector(&self, timeout: Duration) -> Result<Connector, Error> {
        let mut connector = ZkClient::connector()
            .with_fail_eagerly()
            .with_session_timeout(timeout)
            // After this long without an answer the client crate goes to another server.
            .with_connection_timeout((timeout / 3).min(self.request_timeout()));
        if let Some(Credentials { user, password }) = &self.credentials {
            connector = connector.with_auth("digest", format!("{user}:{}", password.reveal()).as_bytes());
        }
        match &self.tls {
            Some(tls) => with_tls(connector, tls),
            None => Ok(connector),
        }
    }
}

#[cfg(feature = "zookeeper-tls")]
fn with_tls(connector: Connector, tls: &Tls) -> Result<Connector, Error> {
    use zookeeper_client::TlsOptions;
    fn text(pem: &[u8]) -> Result<&str, Error> {
        std::str::from_utf8(pem).map_err(|cause| Error::invalid_url("a PEM file is not text").with_source(cause))
    }
    tls.check()?;
    if tls.domain.is_some() {
        return Err(Error::invalid_url(
            "`domain` is not supported for ZooKeeper: its servers' certificates must have the name of the host",
        ));
    }
    let Some(ca) = &tls.ca else {
        return Err(Error::invalid_url(
            "TLS for ZooKeeper needs `ca`: the PEM certificate of the authority that signed the servers' certificates",
        ));
    };
    // The client crate asks for the process's provider and panics without one. An application may have chosen its own.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut options = TlsOptions::new()
        .with_pem_ca(text(ca)?)
        .map_err(|cause| Error::invalid_url("`ca` holds no certificate in PEM").with_source(cause))?;
    if let Some(own) = &tls.identity {
        options = options
            .with_pem_identity(text(&own.certificate)?, text(own.key.reveal())?)
            .map_err(|cause| Error::invalid_url("`cert` or `key` holds no valid PEM").with_source(cause))?;
    }
    Ok(connector.with_tls(options))
}

#[cfg(not(feature = "zookeeper-tls"))]
fn with_tls(_: Connector, _: &Tls) -> Result<Connector, Error> {
    Err(Error::invalid_url("`zookeepers://` needs the feature `zookeeper-tls` of this crate"))
}

/// Without the certificates, which are long.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("endpoints", &self.endpoints)
            .field("credentials", &self.credentials)
            .field("root", &self.root)
            .field("layout", &self.layout)
            .field("connect_timeout", &self.connect_timeout)
            .field("tls", &self.tls.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::error::ErrorKind;
    use crate::values::secret::Secret;

    fn config(endpoint: &str) -> Config {
        Config {
            endpoints: vec![endpoint.to_owned()],
            credentials: Some(Credentials { user: "app".to_owned(), password: Secret::new("hunter2".to_owned()) }),
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
        use crate::contract::Identity;
        let identity = Identity { certificate: b"x".to_vec(), key: Secret::new(b"hidden".to_vec()) };
        let tls = Some(Tls { identity: Some(identity), ..Tls::default() });
        let config = Config { tls, ..config("a:1") };
        let shown = format!("{config:?} {:?}", config.tls);
        assert!(!shown.contains("hunter2") && !shown.contains("hidden") && !shown.contains("104"), "{shown}");
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
    fn tls_settings_that_cannot_work_are_refused_at_once() {
        let ca = Some(b"no certificate".to_vec());
        for (tls, named) in [
            (Tls { ca, ..Tls::default() }, "`ca`"),
            (Tls::default(), "`ca`"),
            (Tls { domain: Some("b".to_owned()), ..Tls::default() }, "`domain`"),
        ] {
            let error = Config { tls: Some(tls), ..config("a:1") }.check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidUrl);
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
