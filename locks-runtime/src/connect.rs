//! URL → backend: the only room that knows every store.

use crate::address::Address;
use crate::backend::Backend;
use crate::backend::file::FileStore;
use crate::backend::memory::Memory;
#[cfg(feature = "etcd")]
use crate::backend::{Entry, Session};
use crate::clock::Clock;
use crate::duration;
use crate::error::Error;
use crate::locks::{Defaults, Locks};
use std::path::PathBuf;
use std::sync::Arc;

/// The parameters that every URL takes.
const COMMON: &str = "`ttl`, `connect_timeout` and `label.NAME`";

pub(crate) fn connect(url: &str) -> Result<Locks, Error> {
    let mut address = Address::parse(url)?;
    let defaults = defaults(&mut address)?;
    let backend = backend(&mut address, &defaults)?;
    Locks::with_backend(backend, defaults)
}

fn defaults(address: &mut Address) -> Result<Defaults, Error> {
    let mut defaults = Defaults { labels: address.take_all("label."), ..Defaults::default() };
    for (name, slot) in [("ttl", &mut defaults.ttl), ("connect_timeout", &mut defaults.connect_timeout)] {
        if let Some(text) = address.take(name) {
            *slot =
                duration::parse(&text).and_then(|value| duration::check(name, value)).map_err(Error::invalid_url)?;
        }
    }
    Ok(defaults)
}

fn backend(address: &mut Address, defaults: &Defaults) -> Result<Arc<dyn Backend>, Error> {
    match address.scheme.as_str() {
        "memory" => {
            address.nothing_left(COMMON)?;
            Ok(Arc::new(Memory::named(&address.path)))
        }
        "file" => file(address),
        "etcd" | "etcds" => etcd(address, defaults),
        "redis" | "rediss" | "zookeeper" | "postgres" => Err(Error::invalid_url(format!(
            "the store of `{}:` is not available yet; there are `etcd`, `etcds`, `file` and `memory`",
            address.scheme
        ))),
        scheme => Err(Error::invalid_url(format!(
            "no lock store is called `{scheme}`; there are `etcd`, `etcds`, `file` and `memory`"
        ))),
    }
}

fn file(address: &mut Address) -> Result<Arc<dyn Backend>, Error> {
    address.nothing_left(COMMON)?;
    if let Some(host) = address.hosts.first() {
        return Err(Error::invalid_url(format!(
            "a `file:` URL has no host, and this one has `{host}`; write three slashes: `file:///var/lock/app`"
        )));
    }
    if !address.path.starts_with('/') || address.path == "/" {
        return Err(Error::invalid_url("a `file:` URL names a directory by its whole path: `file:///var/lock/app`"));
    }
    Ok(FileStore::new(PathBuf::from(&address.path), Clock::Boot)?)
}

#[cfg(not(feature = "etcd"))]
fn etcd(_: &mut Address, _: &Defaults) -> Result<Arc<dyn Backend>, Error> {
    Err(Error::invalid_url(
        "this program is built without etcd; enable the feature `etcd` of `distributed-locks` in its Cargo.toml",
    ))
}

#[cfg(feature = "etcd")]
fn etcd(address: &mut Address, defaults: &Defaults) -> Result<Arc<dyn Backend>, Error> {
    use crate::backend::etcd::{Config, Etcd, Tls};

    let tls = (address.scheme == "etcds").then(|| -> Result<Tls, Error> {
        let identity = match (pem(address, "cert")?, pem(address, "key")?) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err(Error::invalid_url("`cert` and `key` belong together: a client certificate needs both")),
        };
        Ok(Tls { ca: pem(address, "ca")?, identity, domain: address.take("domain") })
    });
    let tls = tls.transpose()?;
    address.nothing_left(&format!("{COMMON}, and with `etcds:` also `ca`, `cert`, `key` and `domain`"))?;
    if address.hosts.is_empty() {
        return Err(Error::invalid_url("an `etcd:` URL names at least one host: `etcd://host:2379`"));
    }
    let with_port = |host: &String| if has_port(host) { host.clone() } else { format!("{host}:2379") };
    let config = Config {
        endpoints: address.hosts.iter().map(with_port).collect(),
        user: address.user.take(),
        namespace: address.path.trim_start_matches('/').to_owned(),
        connect_timeout: defaults.connect_timeout,
        tls,
    };
    Ok(Arc::new(Etcd::new(config)?))
}

/// Reads the file that the parameter `name` points to, so that a wrong path is said at the start.
#[cfg(feature = "etcd")]
fn pem(address: &mut Address, name: &str) -> Result<Option<Vec<u8>>, Error> {
    let Some(path) = address.take(name) else { return Ok(None) };
    let bytes = std::fs::read(&path)
        .map_err(|cause| Error::invalid_url(format!("`{name}={path}` cannot be read")).with_source(cause))?;
    Ok(Some(bytes))
}

#[cfg(feature = "etcd")]
fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A client for the caller's own requests, if the store is etcd.
#[cfg(feature = "etcd")]
pub(crate) fn etcd_client(
    backend: &Arc<dyn Backend>,
) -> Result<impl Future<Output = Result<etcd_client::Client, Error>> + Send + use<>, Error> {
    use crate::backend::etcd::Etcd;
    use crate::error::ErrorKind;

    let etcd = backend.as_any().downcast_ref::<Arc<Etcd>>().map(Arc::clone);
    let etcd = etcd.ok_or_else(|| Error::new(ErrorKind::Unsupported, "the locks of this client are not in etcd"))?;
    Ok(async move { etcd.client().await })
}

/// The condition that `entry` is still there, if the store is etcd.
#[cfg(feature = "etcd")]
pub(crate) fn etcd_compare(session: &dyn Session, entry: &Entry) -> Option<etcd_client::Compare> {
    session.as_any().downcast_ref::<crate::backend::etcd::EtcdSession>()?.compare(entry)
}

#[cfg(all(test, not(feature = "etcd")))]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_store_whose_feature_is_off_names_the_feature() {
        for url in ["etcd://127.0.0.1:2379", "etcds://127.0.0.1:2379"] {
            let error = connect(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidUrl);
            assert!(error.to_string().contains("enable the feature `etcd`"), "{error}");
        }
    }
}
