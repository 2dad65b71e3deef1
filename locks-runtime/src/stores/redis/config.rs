//! What a Redis store is reached by, checked before anything is sent.

use super::status;
use crate::contract::reach;
use crate::values::error::Error;
use redis::{Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};
use std::fmt;
use std::time::Duration;

/// Where a Redis or Valkey server is, and who asks.
#[derive(Clone)]
pub struct Config {
    /// The server's host, or its address.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// User and password, where the server asks for them; with an empty name the password alone.
    pub user: Option<(String, String)>,
    /// The number of the database.
    pub database: i64,
    /// Put before every key as it is; empty for none.
    pub namespace: String,
    /// How long the caller is ready to wait for the first connection; each single request gets a third of it,
    /// within half a second and five seconds.
    pub connect_timeout: Duration,
    /// TLS; `None` speaks plain text.
    pub tls: Option<Tls>,
}

/// How to trust the server, and how to be trusted by it. Needs the feature `redis-tls`.
#[derive(Clone, Default)]
pub struct Tls {
    /// The authority that signed the server's certificate, as PEM; `None` means those that the system trusts.
    pub ca: Option<Vec<u8>>,
    /// The client's own certificate and key, as PEM.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// The name in the server's certificate, where it is not the host.
    pub domain: Option<String>,
}

impl Config {
    /// How long one request may take.
    pub(super) fn attempt(&self) -> Duration {
        reach::attempt(self.connect_timeout)
    }

    /// The server as a person would name it.
    pub(super) fn endpoint(&self) -> String {
        if self.host.contains(':') {
            return format!("[{}]:{}", self.host, self.port);
        }
        format!("{}:{}", self.host, self.port)
    }

    /// Finds what can be found without a store.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.host.is_empty() || self.host.contains(|letter: char| letter.is_whitespace() || "/@[]".contains(letter))
        {
            return Err(Error::invalid_url(format!("{:?} is not a host; write `redis://host:6379`", self.host)));
        }
        if self.port == 0 {
            return Err(Error::invalid_url("the port is zero; Redis listens on 6379 by default"));
        }
        if self.database < 0 {
            return Err(Error::invalid_url("the number of the database is negative"));
        }
        if self.namespace.chars().any(char::is_control) {
            return Err(Error::invalid_url("the namespace holds a control character"));
        }
        if self.connect_timeout.is_zero() {
            return Err(Error::invalid_url("`connect_timeout` is zero"));
        }
        self.tls.as_ref().map_or(Ok(()), Tls::check)
    }

    /// The client crate's own, for RESP2 or, where the server is to speak unasked, RESP3.
    pub(super) fn client(&self, protocol: redis::ProtocolVersion) -> Result<Client, Error> {
        let mut login =
            RedisConnectionInfo::default().set_protocol(protocol).set_db(self.database).set_skip_set_lib_name();
        if let Some((name, password)) = &self.user {
            login = login.set_password(password);
            if !name.is_empty() {
                login = login.set_username(name);
            }
        }
        let address = match &self.tls {
            None => ConnectionAddr::Tcp(self.host.clone(), self.port),
            Some(tls) => ConnectionAddr::TcpTls {
                host: tls.domain.clone().unwrap_or_else(|| self.host.clone()),
                port: self.port,
                insecure: false,
                tls_params: None,
            },
        };
        let unusable = |error| status::invalid(&error);
        let info = address.into_connection_info().map_err(unusable)?.set_redis_settings(login);
        match &self.tls {
            None => Client::open(info).map_err(unusable),
            Some(tls) => tls.client(info),
        }
    }
}

impl Tls {
    fn check(&self) -> Result<(), Error> {
        if !cfg!(feature = "redis-tls") {
            return Err(Error::invalid_url("`rediss://` needs the feature `redis-tls` of this crate"));
        }
        reach::check_pem(self.ca.as_ref(), self.identity.as_ref())
    }

    #[cfg(feature = "redis-tls")]
    fn client(&self, info: redis::ConnectionInfo) -> Result<Client, Error> {
        // The crate panics without one; if the application has chosen another, that stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let identity = self.identity.clone();
        let certificates = redis::TlsCertificates {
            client_tls: identity.map(|(client_cert, client_key)| redis::ClientTlsConfig { client_cert, client_key }),
            root_cert: self.ca.clone(),
        };
        Client::build_with_tls(info, certificates).map_err(|error| status::invalid(&error))
    }

    #[cfg(not(feature = "redis-tls"))]
    fn client(&self, _: redis::ConnectionInfo) -> Result<Client, Error> {
        Err(self.check().err().unwrap_or_else(|| Error::invalid_url("TLS is not built in")))
    }
}

/// Without the password.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("endpoint", &self.endpoint())
            .field("user", &self.user.as_ref().map(|(name, _)| name))
            .field("database", &self.database)
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

    fn config(host: &str) -> Config {
        Config {
            host: host.to_owned(),
            port: 6379,
            user: Some(("app".to_owned(), "secret".to_owned())),
            database: 0,
            namespace: String::new(),
            connect_timeout: Duration::from_secs(5),
            tls: None,
        }
    }

    #[test]
    fn what_cannot_be_a_host_is_refused() {
        for good in ["a", "10.0.0.1", "::1", "redis-0.redis.svc", "my_redis"] {
            config(good).check().unwrap();
        }
        for bad in ["", "a b", "u@a", "http://a", "[::1]"] {
            assert_eq!(config(bad).check().unwrap_err().kind(), ErrorKind::InvalidUrl, "{bad}");
        }
        assert_eq!(config("::1").endpoint(), "[::1]:6379");
    }

    #[test]
    fn debug_keeps_secrets() {
        let mut config = config("a");
        config.tls = Some(Tls { identity: Some((b"x".to_vec(), b"hidden".to_vec())), ..Tls::default() });
        let shown = format!("{config:?}");
        assert!(!shown.contains("secret") && !shown.contains("hidden") && !shown.contains("104"), "{shown}");
        assert!(shown.contains("app"), "{shown}");
    }

    #[cfg(not(feature = "redis-tls"))]
    #[test]
    fn tls_without_its_feature_names_the_feature() {
        let config = Config { tls: Some(Tls::default()), ..config("a") };
        assert!(config.check().unwrap_err().to_string().contains("`redis-tls`"));
    }
}
