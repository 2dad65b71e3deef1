//! `etcd:` URLs, and what only etcd has.

use super::COMMON;
use super::parts::{hosts, identity, pem};
use crate::address::Address;
use crate::backend::etcd::{Config, Etcd, EtcdSession, Tls};
use crate::backend::{Backend, Entry, Session};
use crate::error::{Error, ErrorKind};
use crate::locks::Defaults;
use std::sync::Arc;

pub(super) fn open(address: &mut Address, defaults: &Defaults) -> Result<Arc<dyn Backend>, Error> {
    let tls = (address.scheme == "etcds").then(|| -> Result<Tls, Error> {
        Ok(Tls { identity: identity(address)?, ca: pem(address, "ca")?, domain: address.take("domain") })
    });
    let tls = tls.transpose()?;
    address.nothing_left(&format!("{COMMON}, and with `etcds:` also `ca`, `cert`, `key` and `domain`"))?;
    let config = Config {
        endpoints: hosts(address, 2379)?,
        user: address.user.take(),
        namespace: address.path.trim_start_matches('/').to_owned(),
        connect_timeout: defaults.connect_timeout,
        tls,
    };
    Ok(Arc::new(Etcd::new(config)?))
}

/// A client for the caller's own requests, if the store is etcd.
pub(crate) fn etcd_client(
    backend: &Arc<dyn Backend>,
) -> Result<impl Future<Output = Result<etcd_client::Client, Error>> + Send + use<>, Error> {
    let etcd = backend.as_any().downcast_ref::<Arc<Etcd>>().map(Arc::clone);
    let etcd = etcd.ok_or_else(|| Error::new(ErrorKind::Unsupported, "the locks of this client are not in etcd"))?;
    Ok(async move { etcd.client().await })
}

/// The condition that `entry` is still there, if the store is etcd.
pub(crate) fn etcd_compare(session: &dyn Session, entry: &Entry) -> Option<etcd_client::Compare> {
    session.as_any().downcast_ref::<EtcdSession>()?.compare(entry)
}
