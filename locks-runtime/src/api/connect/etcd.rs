//! `etcd:` URLs.

use super::parameters::COMMON;
use super::parts::{hosts, namespace, tls};
use crate::contract::Store;
use crate::stores::etcd::{Config, Etcd};
use crate::values::defaults::Defaults;
use crate::values::error::Error;
use crate::values::url::StoreUrl;
use crate::world::World;
use std::sync::Arc;

pub(super) fn open(url: &mut StoreUrl, defaults: &Defaults, world: &World) -> Result<Arc<dyn Store>, Error> {
    let tls = if url.scheme == "etcds" { Some(tls(url)?) } else { None };
    url.nothing_left(&format!("{COMMON}, and with `etcds:` also `ca`, `cert`, `key` and `domain`"))?;
    let config = Config {
        endpoints: hosts(url, 2379)?,
        credentials: url.credentials.take(),
        namespace: namespace(url).to_owned(),
        connect_timeout: defaults.connect_timeout,
        tls,
    };
    Ok(Arc::new(Etcd::new(config, world)?))
}
