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
#[cfg(any(feature = "etcd", feature = "redis", feature = "zookeeper", feature = "postgres"))]
mod parts;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "zookeeper")]
mod zookeeper;

#[cfg(feature = "etcd")]
pub(crate) use etcd::{etcd_client, etcd_compare};

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

/// Opens the store of one scheme, or says which feature it needs.
macro_rules! store {
    ($feature:literal, $room:ident, $address:expr, $defaults:expr) => {{
        #[cfg(feature = $feature)]
        let opened = $room::open($address, $defaults);
        #[cfg(not(feature = $feature))]
        let opened = {
            let _ = $defaults;
            Err(built_without($feature))
        };
        opened
    }};
}

fn backend(address: &mut Address, defaults: &Defaults) -> Result<Arc<dyn Backend>, Error> {
    match address.scheme.as_str() {
        "memory" => {
            address.nothing_left(COMMON)?;
            Ok(Arc::new(Memory::named(&address.path)))
        }
        "file" => file(address),
        "etcd" | "etcds" => store!("etcd", etcd, address, defaults),
        "redis" | "rediss" => store!("redis", redis, address, defaults),
        "zookeeper" | "zookeepers" => store!("zookeeper", zookeeper, address, defaults),
        "postgres" | "postgresql" => store!("postgres", postgres, address, defaults),
        scheme => Err(Error::invalid_url(format!(
            "no lock store is called `{scheme}`; there are `etcd`, `etcds`, `redis`, `rediss`, `zookeeper`, `zookeepers`, \
             `postgres`, `file` and `memory`"
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
#[cfg(not(all(feature = "etcd", feature = "redis", feature = "zookeeper", feature = "postgres")))]
fn built_without(feature: &str) -> Error {
    Error::invalid_url(format!(
        "this program is built without {feature}; enable the feature `{feature}` of `distributed-locks` in its Cargo.toml"
    ))
}

#[cfg(test)]
#[path = "tests.rs"]
mod explored;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_store_whose_feature_is_off_names_the_feature() {
        let stores = [
            (cfg!(feature = "etcd"), "etcd", ["etcd", "etcds"]),
            (cfg!(feature = "redis"), "redis", ["redis", "rediss"]),
            (cfg!(feature = "zookeeper"), "zookeeper", ["zookeeper", "zookeepers"]),
            (cfg!(feature = "postgres"), "postgres", ["postgres", "postgresql"]),
        ];
        for (is_on, feature, schemes) in stores {
            for scheme in schemes {
                let told =
                    connect(&format!("{scheme}://127.0.0.1:1/locks")).map_or_else(|error| error.to_string(), drop_it);
                let named = told.contains(&format!("enable the feature `{feature}`"));
                assert_eq!(named, !is_on, "{scheme}: {told}");
            }
        }
        assert_eq!(connect("oracle://localhost").unwrap_err().kind(), ErrorKind::InvalidUrl);
    }

    fn drop_it(_: Locks) -> String {
        String::new()
    }
}
