//! Where a Redis store is, checked before anything is sent.

use crate::contract::{Tls, endpoint_parts, request_timeout};
use crate::values::error::Error;
use crate::values::secret::Credentials;
use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, RedisError};
use std::time::Duration;

/// More replicas than that are a slip of the pen.
const MOST_REPLICAS: u32 = 100;

/// Where Redis or Valkey is, and how to log in to it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Each `host:port`: the one server, or those members of a cluster or those sentinels that are asked where the others are.
    pub endpoints: Vec<String>,
    /// What is at these endpoints.
    pub deployment: Deployment,
    /// A lock counts as acquired only when so many replicas have it: fewer locks are forgotten in a failover then, and not none.
    pub wait_replicas: u32,
    /// User and password, where the server asks for them; with an empty name the password alone.
    pub credentials: Option<Credentials>,
    /// The number of the database.
    pub database: i64,
    /// What all keys begin with; empty for nothing.
    pub namespace: String,
    /// How long the caller is ready to wait for the first connection; each single request gets a third of it,
    /// within half a second and five seconds.
    pub connect_timeout: Duration,
    /// TLS, which needs the feature `redis-tls`; `None` speaks plain text.
    pub tls: Option<Tls>,
}

/// What is at the endpoints of a [`Config`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Deployment {
    /// One server, or one member of a cluster, by which the others are found.
    #[default]
    Server,
    /// Members of a cluster: as many as may be asked for the others.
    Cluster,
    /// Sentinels, which know where the primary is.
    Sentinel {
        /// The name that they have for it.
        primary: String,
        /// User and password for the sentinels themselves; with an empty name the password alone.
        credentials: Option<Credentials>,
    },
}

impl Config {
    /// A server on this machine.
    #[cfg(any(test, fuzzing))]
    pub(super) fn local() -> Self {
        Self {
            endpoints: vec!["127.0.0.1:6379".to_owned()],
            deployment: Deployment::Server,
            wait_replicas: 0,
            credentials: None,
            database: 0,
            namespace: String::new(),
            connect_timeout: Duration::from_secs(5),
            tls: None,
        }
    }

    /// How long one request may take.
    pub(super) fn request_timeout(&self) -> Duration {
        request_timeout(self.connect_timeout, 3)
    }

    /// What is named in the URL, as a person would say it.
    pub(super) fn place(&self) -> String {
        match &self.deployment {
            Deployment::Sentinel { primary, .. } => {
                format!("`{primary}` of the sentinels {}", self.endpoints.join(", "))
            }
            _ => self.endpoints.join(", "),
        }
    }

    /// The user as the server knows it, for messages.
    pub(super) fn user(&self) -> &str {
        // A user without a password may be a password in the wrong place.
        let own = self.credentials.as_ref().filter(|own| !own.password.reveal().is_empty());
        own.map(|own| own.user.as_str()).filter(|user| !user.is_empty()).unwrap_or("default")
    }

    /// Finds what can be found without a server.
    pub(super) fn check(&self) -> Result<(), Error> {
        let wrong = |endpoint: &&String| endpoint_parts(endpoint).is_none();
        if let Some(endpoint) = self.endpoints.iter().find(wrong) {
            return Err(Error::invalid_url(format!(
                "{endpoint:?} is not a host and a port; write `redis://host:6379`"
            )));
        }
        match (&self.deployment, self.endpoints.len()) {
            (_, 0) => return Err(Error::invalid_url("no server is named; write `redis://host:6379`")),
            (Deployment::Server, 2..) => {
                return Err(Error::invalid_url(format!(
                    "{} servers are named; say what they are: `?cluster` for members of a cluster, `?sentinel=NAME` for sentinels \
                     that know a primary by that name, or name the primary alone",
                    self.endpoints.len()
                )));
            }
            (Deployment::Sentinel { primary, .. }, _)
                if primary.is_empty() || primary.contains(char::is_whitespace) =>
            {
                return Err(Error::invalid_url(
                    "`sentinel` is the name that the sentinels have for the primary, as in `?sentinel=mymaster`",
                ));
            }
            (Deployment::Cluster, _) if self.database != 0 => {
                return Err(Error::invalid_url("a cluster has one database; leave `db` out of the URL"));
            }
            _ => {}
        }
        if self.database < 0 {
            return Err(Error::invalid_url("the number of the database is negative"));
        }
        if self.namespace.chars().any(char::is_control) {
            return Err(Error::invalid_url("the namespace holds a control character"));
        }
        if self.wait_replicas > MOST_REPLICAS {
            return Err(Error::invalid_url(format!(
                "`wait_replicas` is {}, and a primary has hardly so many replicas",
                self.wait_replicas
            )));
        }
        if self.connect_timeout.is_zero() {
            return Err(Error::invalid_url("`connect_timeout` is zero"));
        }
        self.tls.as_ref().map_or(Ok(()), check)
    }

    /// A server of locks for the client crate, in RESP2 or, where it is to send notifications, RESP3.
    pub(super) fn server(&self, endpoint: &str, protocol: ProtocolVersion) -> Result<Client, Error> {
        self.client(endpoint, self.credentials.as_ref(), self.database, protocol)
    }

    /// A sentinel for the client crate.
    pub(super) fn sentinel(&self, endpoint: &str, protocol: ProtocolVersion) -> Result<Client, Error> {
        let credentials = match &self.deployment {
            Deployment::Sentinel { credentials, .. } => credentials.as_ref(),
            _ => None,
        };
        self.client(endpoint, credentials, 0, protocol)
    }

    fn client(
        &self,
        endpoint: &str,
        credentials: Option<&Credentials>,
        database: i64,
        protocol: ProtocolVersion,
    ) -> Result<Client, Error> {
        let Some((host, port)) = endpoint_parts(endpoint) else {
            return Err(Error::unavailable(format!(
                "{endpoint:?}, which another server has named, is no host and port"
            )));
        };
        let mut login = RedisConnectionInfo::default().set_protocol(protocol).set_db(database).set_skip_set_lib_name();
        if let Some(own) = credentials {
            login = login.set_password(own.password.reveal());
            if !own.user.is_empty() {
                login = login.set_username(&own.user);
            }
        }
        let address = match &self.tls {
            None => ConnectionAddr::Tcp(host.to_owned(), port),
            Some(tls) => ConnectionAddr::TcpTls {
                host: tls.domain.clone().unwrap_or_else(|| host.to_owned()),
                port,
                insecure: false,
                tls_params: None,
            },
        };
        // A request is sent when it is made, also while others are not answered.
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = address.into_connection_info().map_err(|error| invalid(&error))?;
        let info = info.set_redis_settings(login).set_tcp_settings(tcp);
        match &self.tls {
            None => Client::open(info).map_err(|error| invalid(&error)),
            Some(tls) => server_with_tls(tls, info),
        }
    }
}

/// An error in the settings: nothing was sent.
fn invalid(error: &RedisError) -> Error {
    Error::invalid_url(format!("Redis cannot be connected to as the URL says: {error}"))
}

fn check(tls: &Tls) -> Result<(), Error> {
    if !cfg!(feature = "redis-tls") {
        return Err(Error::invalid_url("`rediss://` needs the feature `redis-tls` of this crate"));
    }
    tls.check()
}

#[cfg(feature = "redis-tls")]
fn server_with_tls(tls: &Tls, info: redis::ConnectionInfo) -> Result<Client, Error> {
    // The crate panics without one; if the application has chosen another, that stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client_tls = tls.identity.as_ref().map(|own| redis::ClientTlsConfig {
        client_cert: own.certificate.clone(),
        client_key: own.key.reveal().clone(),
    });
    let certificates = redis::TlsCertificates { client_tls, root_cert: tls.ca.clone() };
    Client::build_with_tls(info, certificates).map_err(|error| invalid(&error))
}

#[cfg(not(feature = "redis-tls"))]
fn server_with_tls(tls: &Tls, _: redis::ConnectionInfo) -> Result<Client, Error> {
    Err(check(tls).err().unwrap_or_else(|| Error::invalid_url("TLS is not built in")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Identity;
    use crate::values::error::ErrorKind;
    use crate::values::secret::Secret;

    fn config(host: &str) -> Config {
        let credentials = Credentials { user: "app".to_owned(), password: Secret::new("hidden".to_owned()) };
        Config { endpoints: vec![host.to_owned()], credentials: Some(credentials), ..Config::local() }
    }

    #[test]
    fn what_cannot_be_a_host_is_refused() {
        for good in ["a:1", "10.0.0.1:6379", "[::1]:6379", "redis-0.redis.svc:6379", "my_redis:6379"] {
            config(good).check().unwrap();
        }
        for bad in ["", "a", "a:0", "a b:1", "u@a:1", "http://a:1", "::1:6379"] {
            assert_eq!(config(bad).check().unwrap_err().kind(), ErrorKind::InvalidUrl, "{bad}");
        }
    }

    #[test]
    fn what_several_endpoints_are_has_to_be_said() {
        let of = |deployment, database| {
            let endpoints = ["a:1", "b:1"].map(str::to_owned).to_vec();
            Config { endpoints, deployment, database, ..Config::local() }.check().map_err(|error| error.to_string())
        };
        let sentinel = |name: &str| Deployment::Sentinel { primary: name.to_owned(), credentials: None };
        assert!(of(Deployment::Cluster, 0).is_ok() && of(sentinel("mymaster"), 3).is_ok());
        assert!(of(Deployment::Server, 0).unwrap_err().contains("`?cluster`"));
        assert!(of(sentinel(""), 0).unwrap_err().contains("`?sentinel=mymaster`"));
        assert!(of(Deployment::Cluster, 1).unwrap_err().contains("`db`"));
        let none = Config { endpoints: Vec::new(), ..Config::local() };
        assert_eq!(none.check().unwrap_err().kind(), ErrorKind::InvalidUrl);
    }

    #[test]
    fn debug_does_not_show_secrets() {
        let identity = Identity { certificate: b"x".to_vec(), key: Secret::new(b"hidden".to_vec()) };
        let config = Config { tls: Some(Tls { identity: Some(identity), ..Tls::default() }), ..config("a:1") };
        let shown = format!("{config:?}");
        assert!(!shown.contains("hidden") && !shown.contains("104"), "{shown}");
        assert!(shown.contains("app"), "{shown}");
    }

    #[cfg(not(feature = "redis-tls"))]
    #[test]
    fn tls_without_its_feature_names_the_feature() {
        let config = Config { tls: Some(Tls::default()), ..config("a:1") };
        assert!(config.check().unwrap_err().to_string().contains("`redis-tls`"));
    }
}
