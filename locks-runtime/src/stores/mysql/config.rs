//! The settings of a store in MariaDB or MySQL, checked before anything is sent.

use super::layout::Layout;
use super::table::Table;
use crate::contract::{Tls, endpoint_parts, request_timeout};
use crate::values::error::Error;
use crate::values::secret::Credentials;
use std::time::Duration;

/// With the longest key it still fits into the column `name`.
const LONGEST_NAMESPACE: usize = 512;

/// Where a MariaDB or MySQL server is, who connects to it, and which table has the locks.
#[derive(Clone, Debug)]
pub struct Config {
    /// The servers as `host:port`, tried in turn; only one that takes writes is used.
    pub hosts: Vec<String>,
    /// The user, which the server always needs, and the password, where it wants one.
    pub credentials: Option<Credentials>,
    /// The database.
    pub database: String,
    /// The table, as `table` or `database.table`.
    pub table: String,
    /// What the table looks like.
    pub layout: Layout,
    /// Put before every key as it is; empty for none.
    pub namespace: String,
    /// How long the caller is ready to wait for the first connection; each single request gets a third of it,
    /// within half a second and five seconds.
    pub connect_timeout: Duration,
    /// TLS; `None` speaks plain text.
    pub tls: Option<Encryption>,
}

/// How a connection is encrypted. Needs the feature `mysql-tls`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encryption {
    /// Whether the server's certificate must be valid, and in its name. Otherwise the connection is only encrypted:
    /// whoever is in between may pretend to be the server.
    pub verify: bool,
    /// The certificates. Only with `verify` may it name an authority or a domain.
    pub tls: Tls,
}

impl Config {
    /// How long one request may take.
    pub(super) fn request_timeout(&self) -> Duration {
        request_timeout(self.connect_timeout, 3)
    }

    /// Checks what can be checked without a server.
    pub(super) fn check(&self) -> Result<Table, Error> {
        if self.hosts.is_empty() {
            return Err(Error::invalid_url("a MySQL store needs a host; write `mysql://user@host/database`"));
        }
        for host in &self.hosts {
            endpoint_parts(host)
                .ok_or_else(|| Error::invalid_url(format!("{host:?} is not a host; write `host:port`")))?;
        }
        let no_user = || Error::invalid_url("there is no user; write `mysql://user:password@host/database`");
        let Credentials { user, password } =
            self.credentials.as_ref().filter(|own| !own.user.is_empty()).ok_or_else(no_user)?;
        if self.database.is_empty() || self.database.contains('/') {
            return Err(Error::invalid_url("one database comes after the host: `mysql://user@host/database`"));
        }
        let texts = [user, password.reveal(), &self.database, &self.namespace];
        if texts.into_iter().any(|text| text.chars().any(char::is_control)) {
            return Err(Error::invalid_url("user, password, database or namespace contain a control character"));
        }
        if self.namespace.len() > LONGEST_NAMESPACE {
            return Err(Error::invalid_url(format!("`namespace` has more than {LONGEST_NAMESPACE} bytes")));
        }
        if self.connect_timeout.is_zero() {
            return Err(Error::invalid_url("`connect_timeout` is zero"));
        }
        self.tls.as_ref().map_or(Ok(()), Encryption::check)?;
        Table::parse(&self.table, &self.database)
    }
}

impl Encryption {
    fn check(&self) -> Result<(), Error> {
        if !cfg!(feature = "mysql-tls") {
            return Err(Error::invalid_url("`sslmode` other than `disable` needs the feature `mysql-tls`"));
        }
        if !self.verify && (self.tls.ca.is_some() || self.tls.domain.is_some()) {
            return Err(Error::invalid_url("`ca` and `domain` need `sslmode=verify-full`, which checks them"));
        }
        self.tls.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::secret::Secret;

    fn config() -> Config {
        Config {
            hosts: vec!["db:3306".to_owned()],
            credentials: Some(Credentials { user: "app".to_owned(), password: Secret::new("hush".to_owned()) }),
            database: "locks".to_owned(),
            table: "distributed_locks".to_owned(),
            layout: Layout::Own,
            namespace: String::new(),
            connect_timeout: Duration::from_secs(5),
            tls: None,
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        config().check().unwrap();
        type Change = fn(&mut Config);
        let cases: [(&str, Change); 8] = [
            ("host", |config| config.hosts.clear()),
            ("`host:port`", |config| config.hosts = vec!["http://x".to_owned()]),
            ("user", |config| config.credentials = None),
            ("database", |config| config.database.clear()),
            ("control character", |config| config.namespace = "\t".to_owned()),
            ("512 bytes", |config| config.namespace = "n".repeat(513)),
            ("`connect_timeout`", |config| config.connect_timeout = Duration::ZERO),
            ("`table=a.b.c`", |config| config.table = "a.b.c".to_owned()),
        ];
        for (what, change) in cases {
            let mut wrong = config();
            change(&mut wrong);
            let message = wrong.check().unwrap_err().to_string();
            assert!(message.contains(what), "{message}");
        }
    }

    #[test]
    fn the_password_is_not_shown() {
        let shown = format!("{:?}", config());
        assert!(!shown.contains("hush"), "{shown}");
    }
}
