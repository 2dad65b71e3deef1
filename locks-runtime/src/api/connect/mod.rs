//! From a URL to a store: the only room that knows every store.

use crate::contract::Store;
#[cfg(unix)]
use crate::stores::file::FileStore;
use crate::stores::memory::Memory;
use crate::values::defaults::Defaults;
use crate::values::error::Error;
use crate::values::url::StoreUrl;
use crate::world::World;
use parameters::{COMMON, defaults};
use registry::{BUILT_IN, opener};
#[cfg(unix)]
use std::path::PathBuf;
use std::sync::Arc;

#[cfg(feature = "database")]
mod database;
#[cfg(feature = "etcd")]
mod etcd;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(feature = "kubernetes")]
mod kubernetes;
#[cfg(feature = "mysql")]
mod mysql;
mod parameters;
#[cfg(feature = "network")]
mod parts;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
mod registry;
#[cfg(feature = "zookeeper")]
mod zookeeper;

pub use registry::{Opener, register_scheme};

/// The store at `url`, and what the URL says of its locks.
pub(crate) fn connect(url: &str, world: &World) -> Result<(Arc<dyn Store>, Defaults), Error> {
    let mut url = StoreUrl::parse(url)?;
    let defaults = defaults(&mut url)?;
    let store = store(&mut url, &defaults, world)?;
    Ok((store, defaults))
}

/// Opens the store of one scheme, or says which feature it needs.
macro_rules! store {
    ($feature:literal, $room:ident, $url:expr, $defaults:expr, $world:expr) => {{
        #[cfg(feature = $feature)]
        let opened = $room::open($url, $defaults, $world);
        #[cfg(not(feature = $feature))]
        let opened = {
            let _ = ($defaults, $world);
            Err(built_without($feature))
        };
        opened
    }};
}

fn store(url: &mut StoreUrl, defaults: &Defaults, world: &World) -> Result<Arc<dyn Store>, Error> {
    match url.scheme.as_str() {
        "memory" => {
            url.nothing_left(COMMON)?;
            Ok(Arc::new(Memory::named(&url.path, world)))
        }
        "file" => file(url, world),
        "etcd" | "etcds" => store!("etcd", etcd, url, defaults, world),
        "redis" | "rediss" => store!("redis", redis, url, defaults, world),
        "zookeeper" | "zookeepers" => store!("zookeeper", zookeeper, url, defaults, world),
        "kubernetes" => store!("kubernetes", kubernetes, url, defaults, world),
        "postgres" | "postgresql" => store!("postgres", postgres, url, defaults, world),
        "mysql" | "mariadb" => store!("mysql", mysql, url, defaults, world),
        scheme => match opener(scheme) {
            Some(open) => {
                let store = open(url, defaults, world)?;
                url.nothing_left(COMMON)?;
                Ok(store)
            }
            None => Err(unknown(scheme, url)),
        },
    }
}

fn unknown(scheme: &str, url: &StoreUrl) -> Error {
    // In a URL without a scheme this may be a user or a password.
    let named = if url.path.contains('@') { "of this URL".to_owned() } else { format!("`{scheme}`") };
    Error::invalid_url(format!(
        "no lock store has the scheme {named}; expected one of `{}`, or one that was registered before",
        BUILT_IN.join("`, `")
    ))
}

#[cfg(unix)]
fn file(url: &mut StoreUrl, world: &World) -> Result<Arc<dyn Store>, Error> {
    url.nothing_left(COMMON)?;
    if let Some(host) = url.hosts.first() {
        return Err(Error::invalid_url(format!(
            "a `file:` URL has no host, and this one has `{host}`; write three slashes: `file:///var/lock/app`"
        )));
    }
    if !url.path.starts_with('/') || url.path == "/" {
        return Err(Error::invalid_url("a `file:` URL names a directory by its whole path: `file:///var/lock/app`"));
    }
    Ok(Arc::new(FileStore::new(PathBuf::from(&url.path), world)?))
}

#[cfg(not(unix))]
fn file(_: &mut StoreUrl, _: &World) -> Result<Arc<dyn Store>, Error> {
    Err(Error::invalid_url("`file:` URLs need a Unix system: on others there is no store for one machine yet"))
}

/// For a store whose feature is off.
#[cfg(not(all(
    feature = "etcd",
    feature = "redis",
    feature = "zookeeper",
    feature = "postgres",
    feature = "mysql",
    feature = "kubernetes"
)))]
fn built_without(feature: &str) -> Error {
    Error::invalid_url(format!(
        "this program is built without {feature}; enable the feature `{feature}` of `distributed-locks` in its Cargo.toml"
    ))
}

#[cfg(test)]
mod features;
#[cfg(test)]
mod tests;
