//! `mysql:` and `mariadb:` URLs.

use super::parameters::COMMON;
use super::parts::{hosts, tls};
use crate::contract::Store;
use crate::stores::mysql::{Config, Encryption, Layout, Mysql};
use crate::values::defaults::Defaults;
use crate::values::error::Error;
use crate::values::url::StoreUrl;
use crate::world::World;
use std::sync::Arc;

/// The table, where the URL names none.
const TABLE: &str = "distributed_locks";

pub(super) fn open(url: &mut StoreUrl, defaults: &Defaults, world: &World) -> Result<Arc<dyn Store>, Error> {
    let tls = encryption(url)?;
    let table = url.take("table").unwrap_or_else(|| TABLE.to_owned());
    let layout = layout(url, &table)?;
    let namespace = url.take("namespace").unwrap_or_default();
    url.nothing_left(&format!(
        "{COMMON}, `table`, `layout`, `namespace`, `sslmode`, and with TLS also `ca`, `cert`, `key` and `domain`"
    ))?;
    let config = Config {
        hosts: hosts(url, 3306)?,
        credentials: url.credentials.take(),
        database: url.path.trim_start_matches('/').to_owned(),
        table,
        layout,
        namespace,
        connect_timeout: defaults.connect_timeout,
        tls,
    };
    Ok(Arc::new(Mysql::new(config, world)?))
}

/// A table called `shedlock` is ShedLock's. The store's capabilities must be known before the server is asked, so that the
/// table's name decides, or `layout`, and not its columns.
fn layout(url: &mut StoreUrl, table: &str) -> Result<Layout, Error> {
    match url.take("layout").as_deref() {
        Some("own") => Ok(Layout::Own),
        Some("shedlock") => Ok(Layout::ShedLock),
        Some(other) => {
            Err(Error::invalid_url(format!("`layout={other}` is not known; expected one of `own`, `shedlock`")))
        }
        None if table.rsplit('.').next().is_some_and(|name| name.eq_ignore_ascii_case("shedlock")) => {
            Ok(Layout::ShedLock)
        }
        None => Ok(Layout::Own),
    }
}

/// Plain text where `sslmode` is missing. The names are libpq's, as for `postgres:`, and `ssl-mode` with the clients' own names is not
/// known: their default, `PREFERRED`, falls back to plain text silently, so that it only looks as if it protected anything.
fn encryption(url: &mut StoreUrl) -> Result<Option<Encryption>, Error> {
    let verify = match url.take("sslmode").as_deref() {
        None | Some("disable") => return Ok(None),
        Some("require") => false,
        Some("verify-full") => true,
        Some(other) => {
            return Err(Error::invalid_url(format!(
                "`sslmode={other}` is not supported; expected one of `disable` (plain text), `require` (encrypted, but any \
                 server is trusted), `verify-full` (encrypted, and the server's certificate and name are checked)"
            )));
        }
    };
    Ok(Some(Encryption { verify, tls: tls(url)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(url: &str) -> Result<Arc<dyn Store>, Error> {
        open(&mut StoreUrl::parse(url).unwrap(), &Defaults::default(), &World::background().unwrap())
    }

    fn refusal(url: &str) -> String {
        opened(url).unwrap_err().to_string()
    }

    #[test]
    fn good_ones() {
        for url in [
            "mysql://app@db/locks",
            "mariadb://app:p%40ss@a:3306,b/locks?table=app.locks&namespace=billing/",
            "mysql://app@[::1]:5433/locks?sslmode=disable",
        ] {
            opened(url).unwrap();
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (url, what) in [
            ("mysql://db/locks", "user"),
            ("mysql://app@db", "database"),
            ("mysql://app@db/locks/more", "database"),
            ("mysql://app@/locks", "host"),
            ("mysql://app@db/locks?tabel=x", "`tabel`"),
            ("mysql://app@db/locks?table=a.b.c", "`table=a.b.c`"),
            ("mysql://app@db/locks?layout=x", "`layout=x`"),
            ("mysql://app@db/locks?sslmode=prefer", "`verify-full`"),
            ("mysql://app@db/locks?ca=/x", "`ca`"),
            ("mysql://app@db/locks?sslmode=require&cert=/nowhere", "/nowhere"),
        ] {
            assert!(refusal(url).contains(what), "{url}: {}", refusal(url));
        }
    }

    #[test]
    fn a_table_called_shedlock_is_shedlocks() {
        let fencing = |url| opened(url).unwrap().capabilities().fencing;
        assert!(fencing("mysql://app@db/locks"));
        assert!(!fencing("mysql://app@db/locks?table=shedlock"));
        assert!(!fencing("mysql://app@db/locks?table=jobs.shedlock"));
        assert!(!fencing("mysql://app@db/locks?table=SHEDLOCK"));
        assert!(!fencing("mysql://app@db/locks?table=jobs.ShedLock"));
        assert!(!fencing("mysql://app@db/locks?table=jobs&layout=shedlock"));
        assert!(fencing("mysql://app@db/locks?table=shedlock&layout=own"));
    }

    #[cfg(not(feature = "mysql-tls"))]
    #[test]
    fn tls_names_its_feature() {
        assert!(refusal("mysql://app@db/locks?sslmode=require").contains("`mysql-tls`"));
    }
}
