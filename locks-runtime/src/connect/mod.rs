//! URL → backend: the only room that knows every store.

use crate::address::Address;
use crate::backend::Backend;
use crate::backend::file::FileStore;
use crate::backend::memory::Memory;
use crate::clock::Clock;
use crate::duration;
use crate::error::Error;
use crate::locks::{Defaults, Locks};
use std::path::PathBuf;
use std::sync::Arc;

#[cfg(feature = "etcd")]
mod etcd;
#[cfg(feature = "etcd")]
pub(crate) use etcd::{etcd_client, etcd_compare};
#[cfg(feature = "postgres")]
mod postgres;

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
        #[cfg(feature = "etcd")]
        "etcd" | "etcds" => etcd::open(address, defaults),
        #[cfg(not(feature = "etcd"))]
        "etcd" | "etcds" => Err(built_without("etcd")),
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => postgres::open(address, defaults),
        #[cfg(not(feature = "postgres"))]
        "postgres" | "postgresql" => Err(built_without("postgres")),
        "redis" | "rediss" | "zookeeper" => Err(Error::invalid_url(format!(
            "the store of `{}:` is not available yet; there are `etcd`, `etcds`, `postgres`, `file` and `memory`",
            address.scheme
        ))),
        scheme => Err(Error::invalid_url(format!(
            "no lock store is called `{scheme}`; there are `etcd`, `etcds`, `postgres`, `file` and `memory`"
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

/// For a store whose feature is off.
#[cfg(not(all(feature = "etcd", feature = "postgres")))]
fn built_without(feature: &str) -> Error {
    Error::invalid_url(format!(
        "this program is built without {feature}; enable the feature `{feature}` of `distributed-locks` in its Cargo.toml"
    ))
}

/// What is in a file of certificates or of a key.
#[cfg(any(feature = "etcd", feature = "postgres"))]
type Pem = Vec<u8>;

/// Reads the file that the parameter `name` points to, so that a wrong path is said at the start.
#[cfg(any(feature = "etcd", feature = "postgres"))]
fn pem(address: &mut Address, name: &str) -> Result<Option<Pem>, Error> {
    let Some(path) = address.take(name) else { return Ok(None) };
    let bytes = std::fs::read(&path)
        .map_err(|cause| Error::invalid_url(format!("`{name}={path}` cannot be read")).with_source(cause))?;
    Ok(Some(bytes))
}

/// The certificate and the key by which the client shows who it is; both or none.
#[cfg(any(feature = "etcd", feature = "postgres"))]
fn identity(address: &mut Address) -> Result<Option<(Pem, Pem)>, Error> {
    match (pem(address, "cert")?, pem(address, "key")?) {
        (Some(cert), Some(key)) => Ok(Some((cert, key))),
        (None, None) => Ok(None),
        _ => Err(Error::invalid_url("`cert` and `key` belong together: a client certificate needs both")),
    }
}

/// `host:port` for each host of the URL; there must be one.
#[cfg(any(feature = "etcd", feature = "postgres"))]
fn hosts(address: &Address, default_port: u16) -> Result<Vec<String>, Error> {
    if address.hosts.is_empty() {
        let scheme = &address.scheme;
        return Err(Error::invalid_url(format!(
            "an `{scheme}:` URL names at least one host: `{scheme}://host:{default_port}`"
        )));
    }
    let with_port = |host: &String| if has_port(host) { host.clone() } else { format!("{host}:{default_port}") };
    Ok(address.hosts.iter().map(with_port).collect())
}

#[cfg(any(feature = "etcd", feature = "postgres"))]
fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
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
