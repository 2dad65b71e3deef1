//! `redis:` URLs.

use super::parameters::COMMON;
use super::parts::{self, hosts, tls};
use crate::contract::Store;
use crate::stores::redis::{Config, Redis};
use crate::values::defaults::Defaults;
use crate::values::error::Error;
use crate::values::url::StoreUrl;
use crate::world::World;
use std::sync::Arc;

pub(super) fn open(url: &mut StoreUrl, defaults: &Defaults, world: &World) -> Result<Arc<dyn Store>, Error> {
    Ok(Arc::new(Redis::new(config(url, defaults)?, world)?))
}

fn config(url: &mut StoreUrl, defaults: &Defaults) -> Result<Config, Error> {
    let tls = if url.scheme == "rediss" { Some(tls(url)?) } else { None };
    let database = database(url)?;
    url.nothing_left(&format!("{COMMON}, `db`, and with `rediss:` also `ca`, `cert`, `key` and `domain`"))?;
    let (host, port) = server(url)?;
    Ok(Config {
        host,
        port,
        credentials: url.credentials.take(),
        database,
        namespace: namespace(url)?,
        connect_timeout: defaults.connect_timeout,
        tls,
    })
}

/// The one server.
fn server(url: &StoreUrl) -> Result<(String, u16), Error> {
    let hosts = hosts(url, 6379)?;
    let [server] = hosts.as_slice() else {
        return Err(Error::invalid_url(format!(
            "{} servers are named; this store uses one (no Cluster, no Sentinel): name the primary",
            hosts.len()
        )));
    };
    let parsed = server.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) =
        parsed.ok_or_else(|| Error::invalid_url(format!("the port in {server:?} is not a number below 65536")))?;
    let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    Ok((host.to_owned(), port))
}

fn database(url: &mut StoreUrl) -> Result<i64, Error> {
    let Some(text) = url.take("db") else { return Ok(0) };
    text.parse::<u32>()
        .map(i64::from)
        .map_err(|cause| Error::invalid_url(format!("`db={text}` is not the number of a database")).with_source(cause))
}

/// What keys begin with. Elsewhere a number in this place is the database: it would silently be another one here.
fn namespace(url: &StoreUrl) -> Result<String, Error> {
    let namespace = parts::namespace(url);
    if !namespace.is_empty() && namespace.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Error::invalid_url(format!(
            "the path of a `redis:` URL is what keys begin with; write `?db={namespace}` for the database"
        )));
    }
    Ok(namespace.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::error::ErrorKind;
    use crate::values::secret::Credentials;
    use crate::values::secret::Secret;

    fn read(url: &str) -> Result<Config, Error> {
        config(&mut StoreUrl::parse(url)?, &Defaults::default())
    }

    fn credentials(user: &str, password: &str) -> Credentials {
        Credentials { user: user.to_owned(), password: Secret::new(password.to_owned()) }
    }

    #[test]
    fn a_url_with_everything() {
        let config = read("redis://me:p%40ss@cache:6380/app:?db=3").unwrap();
        assert_eq!((config.host.as_str(), config.port, config.database), ("cache", 6380, 3));
        assert_eq!(config.credentials, Some(credentials("me", "p@ss")));
        assert_eq!(config.namespace, "app:");
        assert!(config.tls.is_none());
        let namespaces =
            ["redis://a/app", "redis://a//app/", "redis://a/%2Fapp"].map(|url| read(url).unwrap().namespace);
        assert_eq!(namespaces, ["app", "/app/", "/app"]);
    }

    #[test]
    fn what_is_left_out_is_the_usual() {
        let config = read("redis://:secret@[::1]").unwrap();
        assert_eq!((config.host.as_str(), config.port, config.database), ("::1", 6379, 0));
        assert_eq!(config.credentials, Some(credentials("", "secret")));
        assert_eq!(config.namespace, "");
        assert!(read("rediss://a").unwrap().tls.is_some());
    }

    #[test]
    fn mistakes_are_named() {
        for (url, what) in [
            ("redis:", "at least one host"),
            ("redis://a:1,b:2", "one (no Cluster, no Sentinel)"),
            ("redis://a/2", "`?db=2`"),
            ("redis://a?db=x", "`db=x`"),
            ("redis://a?db=-1", "`db=-1`"),
            ("redis://a:99999", "not a number"),
            ("redis://a?dbb=1", "no parameter `dbb`"),
            ("redis://a?ca=/x", "no parameter `ca`"),
            ("rediss://a?ca=/nowhere/ca.pem", "/nowhere/ca.pem"),
            ("rediss://a?cert=/nowhere/ca.pem", "cannot be read"),
        ] {
            let error = read(url).unwrap_err();
            assert!(error.kind() == ErrorKind::InvalidUrl && error.to_string().contains(what), "{url}: {error}");
        }
    }
}
