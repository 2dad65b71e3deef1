//! Where a Redis store is, checked before anything is sent.

use crate::contract::{Tls, request_timeout};
use crate::values::error::Error;
use crate::values::secret::Credentials;
use redis::{Client, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, RedisError};
use std::time::Duration;

/// Where a Redis or Valkey server is, and how to log in to it.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server's host, or its address.
    pub host: String,
    /// The server's port.
    pub port: u16,
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

impl Config {
    /// A server on this machine.
    #[cfg(any(test, fuzzing))]
    pub(super) fn local() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 6379,
            credentials: None,
            database: 0,
            namespace: String::new(),
            connect_timeout: Duration::from_secs(5),
            tls: None,
        }
    }

    /// How long one request may take.
    pub(super) fn request_timeout(&self) -> Duration {
        request_timeout(self.connect_timeout)
    }

    /// The server as a person would name it.
    pub(super) fn endpoint(&self) -> String {
        if self.host.contains(':') {
            return format!("[{}]:{}", self.host, self.port);
        }
        format!("{}:{}", self.host, self.port)
    }

    /// The user as the server knows it, for messages.
    pub(super) fn user(&self) -> &str {
        // A user without a password may be a password in the wrong place.
        let own = self.credentials.as_ref().filter(|own| !own.password.reveal().is_empty());
        own.map(|own| own.user.as_str()).filter(|user| !user.is_empty()).unwrap_or("default")
    }

    /// Finds what can be found without a server.
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
        self.tls.as_ref().map_or(Ok(()), check)
    }

    /// The server for the client crate, in RESP2 or, where it is to send notifications, RESP3.
    pub(super) fn server(&self, protocol: ProtocolVersion) -> Result<Client, Error> {
        let mut login =
            RedisConnectionInfo::default().set_protocol(protocol).set_db(self.database).set_skip_set_lib_name();
        if let Some(own) = &self.credentials {
            login = login.set_password(own.password.reveal());
            if !own.user.is_empty() {
                login = login.set_username(&own.user);
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
        let info = address.into_connection_info().map_err(|error| invalid(&error))?.set_redis_settings(login);
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
        Config { host: host.to_owned(), credentials: Some(credentials), ..Config::local() }
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
    fn debug_does_not_show_secrets() {
        let identity = Identity { certificate: b"x".to_vec(), key: Secret::new(b"hidden".to_vec()) };
        let config = Config { tls: Some(Tls { identity: Some(identity), ..Tls::default() }), ..config("a") };
        let shown = format!("{config:?}");
        assert!(!shown.contains("hidden") && !shown.contains("104"), "{shown}");
        assert!(shown.contains("app"), "{shown}");
    }

    #[cfg(not(feature = "redis-tls"))]
    #[test]
    fn tls_without_its_feature_names_the_feature() {
        let config = Config { tls: Some(Tls::default()), ..config("a") };
        assert!(config.check().unwrap_err().to_string().contains("`redis-tls`"));
    }
}
