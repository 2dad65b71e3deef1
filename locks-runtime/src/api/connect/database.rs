//! What the URLs of databases have in common.

use super::parameters::COMMON;
use super::parts::{hosts, tls};
use crate::contract::database::{Config, Encryption, Layout};
use crate::values::defaults::Defaults;
use crate::values::error::Error;
use crate::values::url::StoreUrl;

/// The table, where the URL names none.
const TABLE: &str = "distributed_locks";

/// The settings of which nothing is left in the URL.
pub(super) fn config(url: &mut StoreUrl, defaults: &Defaults, default_port: u16) -> Result<Config, Error> {
    let tls = encryption(url)?;
    let table = url.take("table").unwrap_or_else(|| TABLE.to_owned());
    let layout = layout(url, &table)?;
    let namespace = url.take("namespace").unwrap_or_default();
    url.nothing_left(&format!(
        "{COMMON}, `table`, `layout`, `namespace`, `sslmode`, and with TLS also `ca`, `cert`, `key` and `domain`"
    ))?;
    Ok(Config {
        hosts: hosts(url, default_port)?,
        credentials: url.credentials.take(),
        database: url.path.trim_start_matches('/').to_owned(),
        table,
        layout,
        namespace,
        connect_timeout: defaults.connect_timeout,
        tls,
    })
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

/// Plain text where `sslmode` is missing. The names are libpq's, for MariaDB and MySQL as well. What is the default of libpq, `prefer`, and of
/// their own clients, `PREFERRED`, falls back to plain text silently, so that it only looks as if it protected anything.
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
pub(super) mod tests {
    use super::super::connect;
    use crate::world::World;

    fn refusal(url: &str) -> String {
        connect(url, &World::background().unwrap()).unwrap_err().to_string()
    }

    fn has_fences(url: &str) -> bool {
        connect(url, &World::background().unwrap()).unwrap().0.capabilities().fencing
    }

    /// What the URLs of every database promise, on that of one.
    pub(in super::super) fn keeps_what_every_database_promises(scheme: &str, tls: (&str, bool)) {
        good_ones(scheme);
        what_is_wrong_is_named(scheme);
        a_table_called_shedlock_is_shedlocks(scheme);
        if let (feature, false) = tls {
            assert!(refusal(&format!("{scheme}://app@db/locks?sslmode=require")).contains(&format!("`{feature}`")));
        }
    }

    fn good_ones(scheme: &str) {
        for rest in [
            "app@db/locks",
            "app:p%40ss@a:5432,b/locks?table=app.locks&namespace=billing/",
            "app@[::1]:5433/locks?sslmode=disable",
        ] {
            assert!(has_fences(&format!("{scheme}://{rest}")), "{rest}");
        }
    }

    fn what_is_wrong_is_named(scheme: &str) {
        for (rest, what) in [
            ("db/locks", "user"),
            ("app@db", "database"),
            ("app@db/locks/more", "database"),
            ("app@/locks", "host"),
            ("app@db/locks?tabel=x", "`tabel`"),
            ("app@db/locks?table=a.b.c", "`table=a.b.c`"),
            ("app@db/locks?layout=x", "`layout=x`"),
            ("app@db/locks?sslmode=prefer", "`verify-full`"),
            ("app@db/locks?ca=/x", "`ca`"),
            ("app@db/locks?sslmode=require&cert=/nowhere", "/nowhere"),
        ] {
            let refusal = refusal(&format!("{scheme}://{rest}"));
            assert!(refusal.contains(what), "{rest}: {refusal}");
        }
    }

    fn a_table_called_shedlock_is_shedlocks(scheme: &str) {
        for (parameters, has_fences) in [
            ("table=shedlock", false),
            ("table=jobs.shedlock", false),
            // As Java folds it.
            ("table=SHEDLOCK", false),
            ("table=jobs.ShedLock", false),
            ("table=jobs&layout=shedlock", false),
            ("table=shedlock&layout=own", true),
        ] {
            assert_eq!(self::has_fences(&format!("{scheme}://app@db/locks?{parameters}")), has_fences, "{parameters}");
        }
    }
}
