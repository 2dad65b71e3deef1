//! What an etcd store is reached by, checked before anything is sent.

use crate::contract::reach;
use crate::values::error::Error;
use etcd_client::ConnectOptions;
use std::fmt;
use std::time::Duration;

/// Where an etcd cluster is, and who asks.
#[derive(Clone)]
pub struct Config {
    /// The members as `host:port`; any of them will do, and more survive more.
    pub endpoints: Vec<String>,
    /// User and password, where the cluster has authentication on.
    pub user: Option<(String, String)>,
    /// Put before every key as it is; empty for none.
    pub namespace: String,
    /// How long the caller is ready to wait for the first connection; each single request gets a third of it,
    /// within half a second and five seconds.
    pub connect_timeout: Duration,
    /// TLS; `None` speaks plain text.
    pub tls: Option<Tls>,
}

/// How to trust the cluster, and how to be trusted by it. Needs the feature `etcd-tls`.
#[derive(Clone, Default)]
pub struct Tls {
    /// The authority that signed the members' certificates, as PEM; `None` means those that the system trusts.
    pub ca: Option<Vec<u8>>,
    /// The client's own certificate and key, as PEM.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// The name in the members' certificates, where it is not the endpoint's host.
    pub domain: Option<String>,
}

/// The shortest interval that etcd's servers allow between HTTP/2 pings is five seconds; sooner, they hang up.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_ANSWERED_WITHIN: Duration = Duration::from_secs(5);

impl Config {
    /// How long one request to one member may take.
    pub(super) fn attempt(&self) -> Duration {
        reach::attempt(self.connect_timeout)
    }

    /// An endpoint as the client crate wants it.
    pub(super) fn url(&self, endpoint: &str) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{endpoint}")
    }

    /// Finds what can be found without a store.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.endpoints.is_empty() {
            return Err(Error::invalid_url("an etcd store needs at least one endpoint; write `etcd://host:2379`"));
        }
        for endpoint in &self.endpoints {
            if reach::split(endpoint).is_none() {
                return Err(Error::invalid_url(format!("{endpoint:?} is not an endpoint; write `host:port`")));
            }
        }
        if self.user.as_ref().is_some_and(|(name, _)| name.is_empty()) {
            return Err(Error::invalid_url("the user's name is empty; write `etcd://user:password@host:2379`"));
        }
        if self.namespace.chars().any(char::is_control) {
            return Err(Error::invalid_url("the namespace holds a control character"));
        }
        if self.connect_timeout.is_zero() {
            return Err(Error::invalid_url("`connect_timeout` is zero"));
        }
        self.tls.as_ref().map_or(Ok(()), Tls::check)
    }

    /// The client crate's options; `user` says whether to log in.
    pub(super) fn options(&self, user: bool) -> Result<ConnectOptions, Error> {
        let mut options = ConnectOptions::new()
            .with_require_leader(true)
            .with_connect_timeout(self.attempt())
            .with_keep_alive(PING_EVERY, PING_ANSWERED_WITHIN)
            .with_keep_alive_while_idle(false)
            .with_tcp_keepalive(PING_EVERY);
        if let (Some((name, password)), true) = (&self.user, user) {
            options = options.with_user(name, password);
        }
        match &self.tls {
            Some(tls) => tls.add_to(options),
            None => Ok(options),
        }
    }
}

impl Tls {
    fn check(&self) -> Result<(), Error> {
        if !cfg!(feature = "etcd-tls") {
            return Err(Error::invalid_url("`etcds://` needs the feature `etcd-tls` of this crate"));
        }
        reach::check_pem(self.ca.as_ref(), self.identity.as_ref())
    }

    #[cfg(feature = "etcd-tls")]
    #[expect(clippy::unnecessary_wraps, reason = "without the feature it fails")]
    fn add_to(&self, options: ConnectOptions) -> Result<ConnectOptions, Error> {
        use etcd_client::{Certificate, Identity, TlsOptions};
        let mut tls = match &self.ca {
            Some(ca) => TlsOptions::new().ca_certificate(Certificate::from_pem(ca)),
            None => TlsOptions::new().with_enabled_roots(),
        };
        if let Some((certificate, key)) = &self.identity {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        if let Some(domain) = &self.domain {
            tls = tls.domain_name(domain);
        }
        Ok(options.with_tls(tls))
    }

    #[cfg(not(feature = "etcd-tls"))]
    fn add_to(&self, _: ConnectOptions) -> Result<ConnectOptions, Error> {
        Err(self.check().err().unwrap_or_else(|| Error::invalid_url("TLS is not built in")))
    }
}

/// Without the password.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("endpoints", &self.endpoints)
            .field("user", &self.user.as_ref().map(|(name, _)| name))
            .field("namespace", &self.namespace)
            .field("connect_timeout", &self.connect_timeout)
            .field("tls", &self.tls)
            .finish()
    }
}

/// Without the key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("ca", &self.ca.is_some())
            .field("identity", &self.identity.is_some())
            .field("domain", &self.domain)
            .finish()
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
            namespace: String::new(),
            connect_timeout: Duration::from_secs(5),
            tls: None,
        }
    }

    #[test]
    fn endpoints_are_host_and_port() {
        for good in ["a:2379", "10.0.0.1:1", "[::1]:2379", "etcd-0.etcd.svc:2379", "my_etcd:2379"] {
            config(good).check().unwrap();
        }
        for bad in ["", "a", "a:", ":2379", "a:0", "a:99999", "http://a:1", "u@a:1", "::1:2379", "a b:1"] {
            assert_eq!(config(bad).check().unwrap_err().kind(), ErrorKind::InvalidUrl, "{bad}");
        }
    }

    #[test]
    fn debug_keeps_secrets() {
        let mut config = config("a:1");
        config.tls = Some(Tls { identity: Some((b"x".to_vec(), b"hidden".to_vec())), ..Tls::default() });
        let shown = format!("{config:?}");
        assert!(!shown.contains("secret") && !shown.contains("hidden") && !shown.contains("104"), "{shown}");
        assert!(shown.contains("app"), "{shown}");
    }

    #[cfg(not(feature = "etcd-tls"))]
    #[test]
    fn tls_without_its_feature_names_the_feature() {
        let config = Config { tls: Some(Tls::default()), ..config("a:1") };
        assert!(config.check().unwrap_err().to_string().contains("`etcd-tls`"));
    }
}
