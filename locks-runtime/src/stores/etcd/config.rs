//! How an etcd cluster is reached, checked before anything is sent.

use super::pings::{PING_EVERY, PING_TIMEOUT};
use crate::contract::{Tls, endpoint_parts, request_timeout};
use crate::values::error::Error;
use crate::values::secret::Credentials;
use etcd_client::ConnectOptions;
use std::time::Duration;

/// Where an etcd cluster is, and as whom to connect.
#[derive(Clone, Debug)]
pub struct Config {
    /// The members as `host:port`. One is enough; with more, the client outlives the failure of one.
    pub endpoints: Vec<String>,
    /// User and password, where the cluster has authentication on.
    pub credentials: Option<Credentials>,
    /// Put before every key as it is; empty for none.
    pub namespace: String,
    /// How long the caller is ready to wait for the first connection; each single request gets a third of it,
    /// within half a second and five seconds.
    pub connect_timeout: Duration,
    /// TLS, which needs the feature `etcd-tls`; `None` for plain text.
    pub tls: Option<Tls>,
}

impl Config {
    /// How long one request to one member may take.
    pub(super) fn request_timeout(&self) -> Duration {
        request_timeout(self.connect_timeout, 3)
    }

    /// Whether the requests may be those of a user: etcd also takes the name in a client's certificate for one.
    pub(super) fn has_user(&self) -> bool {
        self.credentials.is_some() || self.tls.as_ref().is_some_and(|tls| tls.identity.is_some())
    }

    /// An endpoint as the client crate takes it.
    pub(super) fn url(&self, endpoint: &str) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{endpoint}")
    }

    /// Finds the mistakes that can be found without a server.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.endpoints.is_empty() {
            return Err(Error::invalid_url("an etcd store needs at least one endpoint; write `etcd://host:2379`"));
        }
        for endpoint in &self.endpoints {
            if endpoint_parts(endpoint).is_none() {
                return Err(Error::invalid_url(format!("{endpoint:?} is not an endpoint; write `host:port`")));
            }
        }
        if self.credentials.as_ref().is_some_and(|own| own.user.is_empty()) {
            return Err(Error::invalid_url("the user's name is empty; write `etcd://user:password@host:2379`"));
        }
        if self.namespace.chars().any(char::is_control) {
            return Err(Error::invalid_url("the namespace contains a control character"));
        }
        if self.connect_timeout.is_zero() {
            return Err(Error::invalid_url("`connect_timeout` is zero"));
        }
        match &self.tls {
            Some(_) if !cfg!(feature = "etcd-tls") => Err(without_tls()),
            Some(tls) => tls.check(),
            None => Ok(()),
        }
    }

    /// The client crate's options; `authenticate` says whether to log in.
    pub(super) fn options(&self, authenticate: bool) -> Result<ConnectOptions, Error> {
        let mut options = ConnectOptions::new()
            .with_require_leader(true)
            .with_connect_timeout(self.request_timeout())
            .with_keep_alive(PING_EVERY, PING_TIMEOUT)
            .with_keep_alive_while_idle(false)
            .with_tcp_keepalive(PING_EVERY);
        if let (Some(own), true) = (&self.credentials, authenticate) {
            options = options.with_user(&own.user, own.password.reveal());
        }
        match &self.tls {
            Some(tls) => with_tls(options, tls),
            None => Ok(options),
        }
    }
}

#[cfg(feature = "etcd-tls")]
#[expect(clippy::unnecessary_wraps, reason = "without the feature it fails")]
fn with_tls(options: ConnectOptions, tls: &Tls) -> Result<ConnectOptions, Error> {
    use etcd_client::{Certificate, Identity, TlsOptions};
    let mut settings = match &tls.ca {
        Some(ca) => TlsOptions::new().ca_certificate(Certificate::from_pem(ca)),
        None => TlsOptions::new().with_enabled_roots(),
    };
    if let Some(own) = &tls.identity {
        settings = settings.identity(Identity::from_pem(&own.certificate, own.key.reveal()));
    }
    if let Some(domain) = &tls.domain {
        settings = settings.domain_name(domain);
    }
    Ok(options.with_tls(settings))
}

#[cfg(not(feature = "etcd-tls"))]
fn with_tls(_: ConnectOptions, _: &Tls) -> Result<ConnectOptions, Error> {
    Err(without_tls())
}

fn without_tls() -> Error {
    Error::invalid_url("`etcds://` needs the feature `etcd-tls` of this crate")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Identity;
    use crate::values::error::ErrorKind;
    use crate::values::secret::Secret;

    fn config(endpoint: &str) -> Config {
        Config {
            endpoints: vec![endpoint.to_owned()],
            credentials: Some(Credentials { user: "app".to_owned(), password: Secret::new("hunter2".to_owned()) }),
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
    fn debug_does_not_show_secrets() {
        let mut config = config("a:1");
        let identity = Identity { certificate: b"x".to_vec(), key: Secret::new(b"hidden".to_vec()) };
        config.tls = Some(Tls { identity: Some(identity), ..Tls::default() });
        let shown = format!("{config:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("hidden") && !shown.contains("104"), "{shown}");
        assert!(shown.contains("app"), "{shown}");
    }

    #[cfg(not(feature = "etcd-tls"))]
    #[test]
    fn tls_without_its_feature_names_the_feature() {
        let config = Config { tls: Some(Tls::default()), ..config("a:1") };
        assert!(config.check().unwrap_err().to_string().contains("`etcd-tls`"));
    }
}
