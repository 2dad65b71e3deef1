//! Where a PostgreSQL store is, checked before anything is sent.

use super::table::Table;
use crate::contract::reach;
use crate::values::error::Error;
use std::fmt;
use std::time::Duration;

/// Where a PostgreSQL server is, who asks, and for which table.
#[derive(Clone)]
pub struct Config {
    /// The servers as `host:port`, tried in turn; only one that takes writes is used.
    pub hosts: Vec<String>,
    /// The role.
    pub user: String,
    /// Its password, where the server wants one.
    pub password: Option<String>,
    /// The database.
    pub database: String,
    /// The table, as `table` or `schema.table`; case counts.
    pub table: String,
    /// What the table looks like.
    pub layout: Layout,
    /// Put before every key as it is; empty for none.
    pub namespace: String,
    /// How long the caller is ready to wait for the first connection; each single request gets a third of it,
    /// within half a second and five seconds.
    pub connect_timeout: Duration,
    /// TLS; `None` speaks plain text.
    pub tls: Option<Tls>,
}

/// What the table looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// This crate's own.
    #[default]
    Own,
    /// That of ShedLock, for Java services that take the same locks: without a line, a fence or a record.
    ShedLock,
}

/// How to trust the server, and how to be trusted by it. Needs the feature `postgres-tls`.
#[derive(Clone, Default)]
pub struct Tls {
    /// Whether the server's certificate must be good, and in its name. Otherwise the connection is only encrypted:
    /// whoever is in between may pose as the server.
    pub verify: bool,
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

    /// Finds what can be found without a store.
    pub(super) fn check(&self) -> Result<Table, Error> {
        if self.hosts.is_empty() {
            return Err(Error::invalid_url("a PostgreSQL store needs a host; write `postgres://user@host/database`"));
        }
        for host in &self.hosts {
            reach::split(host)
                .ok_or_else(|| Error::invalid_url(format!("{host:?} is not a host; write `host:port`")))?;
        }
        if self.user.is_empty() {
            return Err(Error::invalid_url("there is no user; write `postgres://user:password@host/database`"));
        }
        if self.database.is_empty() || self.database.contains('/') {
            return Err(Error::invalid_url("one database comes after the host: `postgres://user@host/database`"));
        }
        let texts = [&self.user, &self.database, &self.namespace].into_iter().chain(&self.password);
        if texts.into_iter().any(|text| text.chars().any(char::is_control)) {
            return Err(Error::invalid_url("user, password, database or namespace hold a control character"));
        }
        if self.namespace.len() > LONGEST_NAMESPACE {
            return Err(Error::invalid_url(format!("`namespace` has more than {LONGEST_NAMESPACE} bytes")));
        }
        if self.connect_timeout.is_zero() {
            return Err(Error::invalid_url("`connect_timeout` is zero"));
        }
        self.tls.as_ref().map_or(Ok(()), Tls::check)?;
        Table::parse(&self.table)
    }

    /// The client crate's settings for one host.
    pub(super) fn settings(&self, host: &str) -> tokio_postgres::Config {
        let (name, port) = reach::split(host).unwrap_or((host, 5432));
        let mut settings = tokio_postgres::Config::new();
        settings
            .host(name)
            .port(port)
            .user(&self.user)
            .dbname(&self.database)
            .application_name("distributed-locks")
            .connect_timeout(self.attempt())
            .keepalives_idle(Duration::from_secs(10))
            .target_session_attrs(tokio_postgres::config::TargetSessionAttrs::ReadWrite);
        settings.ssl_mode(match self.tls {
            Some(_) => tokio_postgres::config::SslMode::Require,
            None => tokio_postgres::config::SslMode::Disable,
        });
        if let Some(password) = &self.password {
            settings.password(password);
        }
        settings
    }
}

/// With a key of 512 bytes it still fits into an index.
const LONGEST_NAMESPACE: usize = 512;

impl Tls {
    fn check(&self) -> Result<(), Error> {
        if !cfg!(feature = "postgres-tls") {
            return Err(Error::invalid_url("`sslmode` other than `disable` needs the feature `postgres-tls`"));
        }
        if !self.verify && (self.ca.is_some() || self.domain.is_some()) {
            return Err(Error::invalid_url("only `sslmode=verify-full` looks at `ca` and `domain`"));
        }
        reach::check_pem(self.ca.as_ref(), self.identity.as_ref())
    }
}

/// Without the password.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("hosts", &self.hosts)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("table", &self.table)
            .field("layout", &self.layout)
            .field("namespace", &self.namespace)
            .field("connect_timeout", &self.connect_timeout)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// Without the key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("verify", &self.verify)
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
            hosts: vec![host.to_owned()],
            user: "app".to_owned(),
            password: Some("secret".to_owned()),
            database: "main".to_owned(),
            table: "distributed_locks".to_owned(),
            layout: Layout::Own,
            namespace: String::new(),
            connect_timeout: Duration::from_secs(5),
            tls: None,
        }
    }

    #[test]
    fn hosts_are_host_and_port() {
        for good in ["a:5432", "10.0.0.1:1", "[::1]:5432", "db-0.db.svc:5432"] {
            config(good).check().unwrap();
        }
        for bad in ["", "a", "a:", ":5432", "a:0", "a:99999", "::1:5432", "a b:1", "/var/run:1"] {
            assert_eq!(config(bad).check().unwrap_err().kind(), ErrorKind::InvalidUrl, "{bad}");
        }
    }

    #[test]
    fn what_is_missing_or_cannot_be_is_said() {
        let base = config("a:1");
        for (bad, what) in [
            (Config { user: String::new(), ..base.clone() }, "user"),
            (Config { database: "a/b".to_owned(), ..base.clone() }, "database"),
            (Config { namespace: "n".repeat(513), ..base.clone() }, "`namespace`"),
            (Config { password: Some("\0".to_owned()), ..base.clone() }, "control"),
            (Config { table: "a.b.c".to_owned(), ..base }, "`table`"),
        ] {
            let error = bad.check().unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
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

    #[cfg(feature = "postgres-tls")]
    #[test]
    fn an_authority_that_nobody_looks_at_is_refused() {
        let tls = Tls { ca: Some(b"-----BEGIN CERTIFICATE".to_vec()), ..Tls::default() };
        let error = Config { tls: Some(tls), ..config("a:1") }.check().unwrap_err();
        assert!(error.to_string().contains("verify-full"), "{error}");
    }

    #[cfg(not(feature = "postgres-tls"))]
    #[test]
    fn tls_without_its_feature_names_the_feature() {
        let config = Config { tls: Some(Tls::default()), ..config("a:1") };
        assert!(config.check().unwrap_err().to_string().contains("`postgres-tls`"));
    }
}
