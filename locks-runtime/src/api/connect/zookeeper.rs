//! `zookeeper:` URLs.

use super::parameters::COMMON;
use super::parts::{hosts, identity, pem};
use crate::contract::{Store, Tls};
use crate::stores::zookeeper::{Config, Layout, ZooKeeper};
use crate::values::defaults::Defaults;
use crate::values::error::Error;
use crate::values::url::StoreUrl;
use crate::world::World;
use std::sync::Arc;

pub(super) fn open(url: &mut StoreUrl, defaults: &Defaults, world: &World) -> Result<Arc<dyn Store>, Error> {
    let tls = if url.scheme == "zookeepers" { Some(tls(url)?) } else { None };
    let layout = match url.take("layout").as_deref() {
        None | Some("curator") => Layout::Curator,
        Some("curator-rw") => Layout::CuratorReadWrite,
        Some("kazoo") => Layout::Kazoo,
        Some(other) => {
            return Err(Error::invalid_url(format!(
                "`layout={other}` is unknown; expected one of `curator`, `curator-rw`, `kazoo`"
            )));
        }
    };
    url.nothing_left(&format!("{COMMON}, `layout`, and with `zookeepers:` also `ca`, `cert` and `key`"))?;
    let config = Config {
        endpoints: hosts(url, 2181)?,
        credentials: url.credentials.take(),
        root: if url.path == "/" { String::new() } else { url.path.clone() },
        layout,
        connect_timeout: defaults.connect_timeout,
        tls,
    };
    Ok(Arc::new(ZooKeeper::new(config, world)?))
}

fn tls(url: &mut StoreUrl) -> Result<Tls, Error> {
    let identity = identity(url)?;
    let ca = pem(url, "ca")?.ok_or_else(|| {
        Error::invalid_url(
            "`zookeepers:` needs `ca=`: the PEM file of the authority that signed the servers' certificates",
        )
    })?;
    Ok(Tls { identity, ca: Some(ca), domain: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::error::ErrorKind;

    fn opened(url: &str) -> Result<(), Error> {
        open(&mut StoreUrl::parse(url)?, &Defaults::default(), &World::background().unwrap()).map(drop)
    }

    #[test]
    fn a_url_names_servers_a_root_and_a_layout() {
        for fine in [
            "zookeeper://a",
            "zookeeper://a:2181,b:2182,c/app/locks",
            "zookeeper://user:password@a/?layout=kazoo",
            "zookeeper://[::1]:2181?layout=curator",
            "zookeeper://a?layout=curator-rw",
        ] {
            opened(fine).unwrap();
        }
    }

    #[test]
    fn a_wrong_url_is_refused_with_what_to_write() {
        for (url, expected) in [
            ("zookeeper:///app", "at least one host"),
            ("zookeeper://a?layout=other", "`curator`, `curator-rw`, `kazoo`"),
            ("zookeeper://a?domain=b", "no parameter `domain`"),
            ("zookeeper://a/app/", "not a path"),
            ("zookeeper://a/../b", "not a path"),
            ("zookeeper://:secret@a", "user's name"),
            ("zookeepers://a", "`ca=`"),
            ("zookeepers://a?ca=/nowhere/ca.pem", "cannot be read"),
        ] {
            let error = opened(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidUrl, "{url}");
            assert!(error.to_string().contains(expected) && !format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
}
