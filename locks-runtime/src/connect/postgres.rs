//! `postgres:` URLs.

use super::{COMMON, hosts, identity, pem};
use crate::address::Address;
use crate::backend::Backend;
use crate::backend::postgres::{Config, Postgres, Tls};
use crate::error::Error;
use crate::locks::Defaults;
use std::sync::Arc;

/// The table, where the URL names none.
const TABLE: &str = "distributed_locks";

pub(super) fn open(address: &mut Address, defaults: &Defaults) -> Result<Arc<dyn Backend>, Error> {
    let tls = tls(address)?;
    let table = address.take("table").unwrap_or_else(|| TABLE.to_owned());
    let namespace = address.take("namespace").unwrap_or_default();
    address.nothing_left(&format!(
        "{COMMON}, `table`, `namespace`, `sslmode`, and with TLS also `ca`, `cert`, `key` and `domain`"
    ))?;
    let (user, password) = address.user.take().unwrap_or_default();
    let config = Config {
        hosts: hosts(address, 5432)?,
        user,
        password: Some(password).filter(|password| !password.is_empty()),
        database: address.path.trim_start_matches('/').to_owned(),
        table,
        namespace,
        connect_timeout: defaults.connect_timeout,
        tls,
    };
    Ok(Arc::new(Postgres::new(config)?))
}

/// Plain text where nothing is said: libpq's own default, `prefer`, gives way to plain text unasked, so that it protects
/// from nobody and only looks as if it did.
fn tls(address: &mut Address) -> Result<Option<Tls>, Error> {
    let verify = match address.take("sslmode").as_deref() {
        None | Some("disable") => return Ok(None),
        Some("require") => false,
        Some("verify-full") => true,
        Some(other) => {
            return Err(Error::invalid_url(format!(
                "`sslmode={other}` is none of `disable` (plain text), `require` (encrypted, to whomever) and \
                 `verify-full` (encrypted, and the server's certificate and name are checked)"
            )));
        }
    };
    Ok(Some(Tls { verify, identity: identity(address)?, ca: pem(address, "ca")?, domain: address.take("domain") }))
}
