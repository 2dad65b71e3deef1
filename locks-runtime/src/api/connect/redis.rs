//! `redis:` URLs.

use super::parameters::COMMON;
use super::parts::{self, hosts, tls};
use crate::contract::Store;
use crate::stores::redis::{Config, Deployment, Redis};
use crate::values::defaults::Defaults;
use crate::values::error::Error;
use crate::values::secret::{Credentials, Secret};
use crate::values::url::StoreUrl;
use crate::world::World;
use std::sync::Arc;

pub(super) fn open(url: &mut StoreUrl, defaults: &Defaults, world: &World) -> Result<Arc<dyn Store>, Error> {
    Ok(Arc::new(Redis::new(config(url, defaults)?, world)?))
}

fn config(url: &mut StoreUrl, defaults: &Defaults) -> Result<Config, Error> {
    let tls = if url.scheme == "rediss" { Some(tls(url)?) } else { None };
    let database = database(url)?;
    let deployment = deployment(url)?;
    let wait_replicas = wait_replicas(url)?;
    url.nothing_left(&format!(
        "{COMMON}, `db`, `cluster`, `sentinel` with `sentinel_user` and `sentinel_password`, `wait_replicas`, and with `rediss:` \
         also `ca`, `cert`, `key` and `domain`"
    ))?;
    let default_port = if matches!(deployment, Deployment::Sentinel { .. }) { 26379 } else { 6379 };
    Ok(Config {
        endpoints: hosts(url, default_port)?,
        deployment,
        wait_replicas,
        credentials: url.credentials.take(),
        database,
        namespace: namespace(url)?,
        connect_timeout: defaults.connect_timeout,
        tls,
    })
}

/// What the hosts are.
fn deployment(url: &mut StoreUrl) -> Result<Deployment, Error> {
    let (user, password) = (url.take("sentinel_user"), url.take("sentinel_password"));
    let is_cluster = match url.take("cluster").as_deref() {
        None | Some("false") => false,
        Some("" | "true") => true,
        Some(_) => return Err(Error::invalid_url("`cluster` takes no value: write `?cluster`")),
    };
    let Some(primary) = url.take("sentinel") else {
        if user.is_some() || password.is_some() {
            return Err(Error::invalid_url(
                "`sentinel_user` and `sentinel_password` are for sentinels: add `sentinel=NAME`, by which they know the primary",
            ));
        }
        return Ok(if is_cluster { Deployment::Cluster } else { Deployment::Server });
    };
    if is_cluster {
        return Err(Error::invalid_url("`cluster` and `sentinel` exclude each other: a cluster has no sentinels"));
    }
    let credentials = match (user, password) {
        (None, None) => None,
        (user, Some(password)) => Some(Credentials { user: user.unwrap_or_default(), password: Secret::new(password) }),
        (Some(_), None) => return Err(Error::invalid_url("`sentinel_user` needs `sentinel_password`")),
    };
    Ok(Deployment::Sentinel { primary, credentials })
}

fn wait_replicas(url: &mut StoreUrl) -> Result<u32, Error> {
    let Some(text) = url.take("wait_replicas") else { return Ok(0) };
    text.parse().map_err(|cause| {
        Error::invalid_url(format!("`wait_replicas={text}` is not a number of replicas")).with_source(cause)
    })
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

    fn read(url: &str) -> Result<Config, Error> {
        let config = config(&mut StoreUrl::parse(url)?, &Defaults::default())?;
        // It checks the rest.
        Redis::new(config.clone(), &World::background()?)?;
        Ok(config)
    }

    fn credentials(user: &str, password: &str) -> Credentials {
        Credentials { user: user.to_owned(), password: Secret::new(password.to_owned()) }
    }

    #[test]
    fn a_url_with_everything() {
        let config = read("redis://me:p%40ss@cache:6380/app:?db=3").unwrap();
        assert_eq!((config.endpoints[0].as_str(), config.database), ("cache:6380", 3));
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
        assert_eq!((config.endpoints[0].as_str(), config.database), ("[::1]:6379", 0));
        assert_eq!(config.credentials, Some(credentials("", "secret")));
        assert_eq!(config.namespace, "");
        assert!(cfg!(not(feature = "redis-tls")) || read("rediss://a").unwrap().tls.is_some());
    }

    #[test]
    fn a_cluster_is_named_by_any_of_its_members() {
        let config = read("redis://a,b:7000/app:?cluster").unwrap();
        assert_eq!(
            (&config.endpoints[..], config.deployment),
            (&["a:6379".into(), "b:7000".into()][..], Deployment::Cluster)
        );
        assert_eq!(read("redis://a").unwrap().deployment, Deployment::Server);
    }

    #[test]
    fn sentinels_have_a_login_of_their_own() {
        let config =
            read("redis://me:p@a,b:7000/app:?sentinel=mymaster&sentinel_password=s%26t&db=3&wait_replicas=1").unwrap();
        assert_eq!(config.endpoints, ["a:26379", "b:7000"]);
        let sentinel = |credentials| Deployment::Sentinel { primary: "mymaster".to_owned(), credentials };
        assert_eq!(config.deployment, sentinel(Some(credentials("", "s&t"))));
        assert_eq!((config.credentials, config.database, config.wait_replicas), (Some(credentials("me", "p")), 3, 1));
        let config = read("redis://a?sentinel=mymaster&sentinel_user=u&sentinel_password=s").unwrap();
        assert_eq!(config.deployment, sentinel(Some(credentials("u", "s"))));
    }

    #[test]
    fn mistakes_are_named() {
        for (url, what) in [
            ("redis:", "at least one host"),
            ("redis://a:1,b:2", "`?cluster`"),
            ("redis://a:1,b:2?cluster=3", "`?cluster`"),
            ("redis://a?cluster&sentinel=x", "exclude each other"),
            ("redis://a?cluster&db=1", "`db`"),
            ("redis://a?sentinel", "`?sentinel=mymaster`"),
            ("redis://a?sentinel_password=x", "`sentinel=NAME`"),
            ("redis://a?sentinel=x&sentinel_user=u", "`sentinel_password`"),
            ("redis://a?wait_replicas=x", "`wait_replicas=x`"),
            ("redis://a?wait_replicas=1000", "`wait_replicas`"),
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
