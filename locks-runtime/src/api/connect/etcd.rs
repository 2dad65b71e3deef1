//! `etcd:` URLs.

use super::COMMON;
use super::parts::{hosts, identity, pem};
use crate::contract::Store;
use crate::stores::etcd::{Config, Etcd, Tls};
use crate::values::defaults::Defaults;
use crate::values::error::Error;
use crate::values::url::StoreUrl;
use crate::world::World;
use std::sync::Arc;

pub(super) fn open(url: &mut StoreUrl, defaults: &Defaults, _: &World) -> Result<Arc<dyn Store>, Error> {
    let tls = (url.scheme == "etcds").then(|| -> Result<Tls, Error> {
        Ok(Tls { identity: identity(url)?, ca: pem(url, "ca")?, domain: url.take("domain") })
    });
    let tls = tls.transpose()?;
    url.nothing_left(&format!("{COMMON}, and with `etcds:` also `ca`, `cert`, `key` and `domain`"))?;
    let config = Config {
        endpoints: hosts(url, 2379)?,
        user: url.credentials.take().map(|own| (own.user, own.password.reveal().clone())),
        namespace: url.path.trim_start_matches('/').to_owned(),
        connect_timeout: defaults.connect_timeout,
        tls,
    };
    Ok(Arc::new(Etcd::new(config)?))
}
