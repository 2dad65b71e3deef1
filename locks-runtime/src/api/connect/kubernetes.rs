//! `kubernetes:` URLs.

use super::parameters::COMMON;
use super::parts::{hosts, identity};
use crate::contract::{Store, Tls};
use crate::stores::kubernetes::{Config, Kubernetes};
use crate::values::defaults::Defaults;
use crate::values::error::Error;
use crate::values::url::StoreUrl;
use crate::world::World;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn open(url: &mut StoreUrl, defaults: &Defaults, world: &World) -> Result<Arc<dyn Store>, Error> {
    Ok(Arc::new(Kubernetes::new(config(url, defaults)?, world)?))
}

const OUTSIDE: &str = "and with a host `ca`, `token_file`, `cert`, `key`, `domain` and `tls`";

fn config(url: &mut StoreUrl, defaults: &Defaults) -> Result<Config, Error> {
    check_ttl(defaults.ttl)?;
    if url.credentials.is_some() {
        return Err(Error::invalid_url(
            "an API server has no passwords; name a file with a token by `token_file=`, or a certificate by `cert=` and `key=`",
        ));
    }
    let namespace = url.path.strip_prefix('/').unwrap_or(&url.path).to_owned();
    if url.hosts.is_empty() {
        url.nothing_left(&format!("{COMMON}, {OUTSIDE}"))?;
        return Config::in_pod(&namespace, defaults.connect_timeout);
    }
    let is_plain = match url.take("tls").as_deref() {
        None | Some("on") => false,
        Some("off") => true,
        Some(other) => return Err(Error::invalid_url(format!("`tls={other}` is unknown; expected `on` or `off`"))),
    };
    let (identity, domain) = (identity(url)?, url.take("domain"));
    let (ca_file, token_file) = (url.take("ca").map(PathBuf::from), url.take("token_file").map(PathBuf::from));
    url.nothing_left(&format!("{COMMON}, {OUTSIDE}"))?;
    for (name, path) in [("ca", &ca_file), ("token_file", &token_file)] {
        // So that a wrong path is reported at the start.
        if let Some(path) = path {
            std::fs::File::open(path).map_err(|cause| {
                Error::invalid_url(format!("`{name}={}` cannot be read", path.display())).with_source(cause)
            })?;
        }
    }
    let hosts = hosts(url, 6443)?;
    let [server] = hosts.as_slice() else {
        return Err(Error::invalid_url(format!("{} API servers are named; name their load balancer", hosts.len())));
    };
    if is_plain && (identity.is_some() || domain.is_some() || ca_file.is_some()) {
        return Err(Error::invalid_url("`ca`, `cert`, `key` and `domain` are for TLS, and `tls=off` has none"));
    }
    if namespace.is_empty() {
        return Err(Error::invalid_url(format!("the URL names no namespace; write `kubernetes://{server}/namespace`")));
    }
    Ok(Config {
        server: server.clone(),
        namespace,
        tls: (!is_plain).then_some(Tls { identity, ca: None, domain }),
        ca_file,
        token_file,
        connect_timeout: defaults.connect_timeout,
    })
}

/// What everybody else reads of a Lease is whole seconds, and a Lease shorter than three was seen taken from its living holder.
fn check_ttl(ttl: Duration) -> Result<(), Error> {
    if ttl < Duration::from_secs(3) || ttl.subsec_nanos() != 0 {
        return Err(Error::invalid_url(format!(
            "`ttl={ttl:?}` is no duration of a Lease, which is of whole seconds and at least three; 15 s, as client-go has it, outlasts \
             the restart of an API server: `ttl=15s`"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::parameters::defaults;
    use super::*;
    use crate::values::error::ErrorKind;

    fn read(url: &str) -> Result<Config, Error> {
        let mut url = StoreUrl::parse(url)?;
        let defaults = defaults(&mut url)?;
        let config = config(&mut url, &defaults)?;
        Kubernetes::new(config.clone(), &World::background()?)?;
        Ok(config)
    }

    #[test]
    fn a_url_names_a_server_a_namespace_and_who_we_are() {
        let token = tempfile::NamedTempFile::new().unwrap();
        let path = token.path().display();
        let config = read(&format!("kubernetes://10.0.0.1/app?token_file={path}&ca={path}&domain=kubernetes")).unwrap();
        assert_eq!((config.server.as_str(), config.namespace.as_str()), ("10.0.0.1:6443", "app"));
        assert_eq!(config.tls.unwrap().domain.as_deref(), Some("kubernetes"));
        let config = read("kubernetes://127.0.0.1:8001/app?tls=off&ttl=15s").unwrap();
        assert!(config.tls.is_none() && config.token_file.is_none());
    }

    #[test]
    fn mistakes_are_named() {
        for (url, what) in [
            ("kubernetes:///app", "this is no pod"),
            ("kubernetes:", "this is no pod"),
            ("kubernetes:///app?ca=/x", "no parameter `ca`"),
            ("kubernetes://a", "names no namespace"),
            ("kubernetes://a/app", "`token_file=`"),
            ("kubernetes://a/App?tls=off", "`App`"),
            ("kubernetes://a/a/b?tls=off", "not the name of a namespace"),
            ("kubernetes://a/app?tls=off", "`kubectl proxy` on this machine"),
            ("kubernetes://127.0.0.1/app?tls=off&ca=Cargo.toml", "`tls=off` has none"),
            ("kubernetes://a/app?tls=maybe", "`tls=maybe`"),
            ("kubernetes://a,b/app?tls=off", "load balancer"),
            ("kubernetes://me:hunter2@a/app", "`token_file=`"),
            ("kubernetes://a/app?token_file=/nowhere/token", "/nowhere/token"),
            ("kubernetes://a/app?ca=/nowhere/ca.crt", "/nowhere/ca.crt"),
            ("kubernetes://a/app?cert=/nowhere/own.crt", "cannot be read"),
            ("kubernetes://a/app?ttl=2s", "at least three"),
            ("kubernetes://a/app?ttl=4500ms", "whole seconds"),
            ("kubernetes://a/app?layout=x", "no parameter `layout`"),
        ] {
            let error = read(url).unwrap_err();
            let said = format!("{error:?}");
            assert!(error.kind() == ErrorKind::InvalidUrl && !said.contains("hunter2"), "{url}: {said}");
            assert!(said.replace('"', "`").contains(what), "{url}: {said}");
        }
    }
}
