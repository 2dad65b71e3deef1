//! The settings of a store in a database, checked before anything is sent.

use crate::contract::{Tls, endpoint_parts, request_timeout};
use crate::values::error::Error;
use crate::values::secret::Credentials;
use std::time::Duration;

/// Where the database's servers are, who connects to it, and which table has the locks.
#[derive(Clone, Debug)]
pub struct Config {
    /// The servers as `host:port`, tried in turn; only one that takes writes is used.
    pub hosts: Vec<String>,
    /// The user, which the server always needs, and the password, where it wants one.
    pub credentials: Option<Credentials>,
    /// The database.
    pub database: String,
    /// The table. In PostgreSQL as `table` or `schema.table`; case counts, except in ShedLock's; without a schema it is looked for in
    /// all. In MariaDB and MySQL as `table` or `database.table`.
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

/// What the table looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// This crate's own.
    #[default]
    Own,
    /// That of ShedLock, for Java services that use the same locks: without a queue, a fence or a record.
    ShedLock,
}

/// How a connection is encrypted. Needs the feature `postgres-tls` or `mysql-tls`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encryption {
    /// Whether the server's certificate must be valid, and in its name. Otherwise the connection is only encrypted:
    /// whoever is in between may pretend to be the server.
    pub verify: bool,
    /// The certificates. Only with `verify` may it name an authority or a domain.
    pub tls: Tls,
}

/// What messages say of a kind of database.
pub(crate) struct Product {
    pub(crate) name: &'static str,
    pub(crate) scheme: &'static str,
    /// The feature that encrypts, and whether it is on.
    pub(crate) tls: (&'static str, bool),
}

/// With a key of 512 bytes it still fits into the column `name` and into an index.
const LONGEST_NAMESPACE: usize = 512;

impl Config {
    /// How long one request may take.
    pub(crate) fn request_timeout(&self) -> Duration {
        request_timeout(self.connect_timeout, 3)
    }

    /// Checks what can be checked without a server, but for the table's name.
    pub(crate) fn check(&self, product: &Product) -> Result<(), Error> {
        let Product { name, scheme, tls } = product;
        if self.hosts.is_empty() {
            return Err(Error::invalid_url(format!(
                "a {name} store needs a host; write `{scheme}://user@host/database`"
            )));
        }
        for host in &self.hosts {
            endpoint_parts(host)
                .ok_or_else(|| Error::invalid_url(format!("{host:?} is not a host; write `host:port`")))?;
        }
        let no_user =
            || Error::invalid_url(format!("there is no user; write `{scheme}://user:password@host/database`"));
        let Credentials { user, password } =
            self.credentials.as_ref().filter(|own| !own.user.is_empty()).ok_or_else(no_user)?;
        if self.database.is_empty() || self.database.contains('/') {
            return Err(Error::invalid_url(format!(
                "one database comes after the host: `{scheme}://user@host/database`"
            )));
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
        self.tls.as_ref().map_or(Ok(()), |encryption| encryption.check(*tls))
    }
}

impl Encryption {
    fn check(&self, (feature, is_on): (&str, bool)) -> Result<(), Error> {
        if !is_on {
            return Err(Error::invalid_url(format!("`sslmode` other than `disable` needs the feature `{feature}`")));
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
    use crate::contract::Identity;
    use crate::values::error::ErrorKind;
    use crate::values::secret::Secret;

    fn credentials(user: &str, password: &str) -> Option<Credentials> {
        Some(Credentials { user: user.to_owned(), password: Secret::new(password.to_owned()) })
    }

    const PRODUCT: Product = Product { name: "Some", scheme: "some", tls: ("some-tls", true) };

    fn config(host: &str) -> Config {
        Config {
            hosts: vec![host.to_owned()],
            credentials: credentials("app", "secret"),
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
            config(good).check(&PRODUCT).unwrap();
        }
        for bad in ["", "a", "a:", ":5432", "a:0", "a:99999", "::1:5432", "a b:1", "/var/run:1"] {
            assert_eq!(config(bad).check(&PRODUCT).unwrap_err().kind(), ErrorKind::InvalidUrl, "{bad}");
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let base = config("a:1");
        for (bad, what) in [
            (Config { credentials: None, ..base.clone() }, "user"),
            (Config { credentials: credentials("", "secret"), ..base.clone() }, "user"),
            (Config { database: String::new(), ..base.clone() }, "database"),
            (Config { database: "a/b".to_owned(), ..base.clone() }, "database"),
            (Config { namespace: "n".repeat(513), ..base.clone() }, "`namespace`"),
            (Config { credentials: credentials("a\tpp", "secret"), ..base.clone() }, "control"),
            (Config { credentials: credentials("app", "\0"), ..base.clone() }, "control"),
            (Config { database: "a\n".to_owned(), ..base.clone() }, "control"),
            (Config { namespace: "\u{7f}".to_owned(), ..base.clone() }, "control"),
            (Config { hosts: ["a:1", "b"].map(str::to_owned).to_vec(), ..base.clone() }, "\"b\""),
            (Config { connect_timeout: Duration::ZERO, ..base.clone() }, "`connect_timeout`"),
            (Config { hosts: Vec::new(), ..base.clone() }, "`some://user@host/database`"),
        ] {
            let error = bad.check(&PRODUCT).unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
        }
        Config { namespace: "n".repeat(512), ..base }.check(&PRODUCT).unwrap();
    }

    #[test]
    fn debug_does_not_show_secrets() {
        let mut config = config("a:1");
        config.credentials = credentials("app", "hunter2");
        let identity = Identity { certificate: b"x".to_vec(), key: Secret::new(b"hidden".to_vec()) };
        config.tls = Some(Encryption { verify: false, tls: Tls { identity: Some(identity), ..Tls::default() } });
        let shown = format!("{config:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("hidden") && !shown.contains("104"), "{shown}");
        assert!(shown.contains("app"), "{shown}");
    }

    #[test]
    fn an_authority_or_a_name_that_is_not_checked_is_refused() {
        let ca = Tls { ca: Some(b"-----BEGIN CERTIFICATE".to_vec()), ..Tls::default() };
        let domain = Tls { domain: Some("db".to_owned()), ..Tls::default() };
        for tls in [ca, domain] {
            let config = |verify| Config { tls: Some(Encryption { verify, tls: tls.clone() }), ..config("a:1") };
            let error = config(false).check(&PRODUCT).unwrap_err();
            assert!(error.to_string().contains("verify-full"), "{error}");
            config(true).check(&PRODUCT).unwrap();
        }
        let tls = Tls { ca: Some(b"no certificate".to_vec()), ..Tls::default() };
        let unread = Config { tls: Some(Encryption { verify: true, tls }), ..config("a:1") };
        assert!(unread.check(&PRODUCT).unwrap_err().to_string().contains("`ca`"));
    }

    #[test]
    fn tls_without_its_feature_names_the_feature() {
        let config = Config { tls: Some(Encryption::default()), ..config("a:1") };
        let error = config.check(&Product { tls: ("some-tls", false), ..PRODUCT }).unwrap_err();
        assert!(error.to_string().contains("`some-tls`"), "{error}");
    }
}
