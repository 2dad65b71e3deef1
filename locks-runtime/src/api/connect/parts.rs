//! What the URLs of several stores have in common.

#[cfg(any(feature = "etcd", feature = "redis", feature = "database"))]
use crate::contract::Tls;
use crate::contract::{Identity, Pem};
use crate::values::error::Error;
use crate::values::secret::Secret;
use crate::values::url::StoreUrl;

/// The TLS settings of a URL: `ca`, `cert` with `key`, and `domain`.
#[cfg(any(feature = "etcd", feature = "redis", feature = "database"))]
pub(super) fn tls(url: &mut StoreUrl) -> Result<Tls, Error> {
    Ok(Tls { identity: identity(url)?, ca: pem(url, "ca")?, domain: url.take("domain") })
}

/// Reads the file that the parameter `name` points to, so that a wrong path is reported at the start.
pub(super) fn pem(url: &mut StoreUrl, name: &str) -> Result<Option<Pem>, Error> {
    let Some(path) = url.take(name) else { return Ok(None) };
    let bytes = std::fs::read(&path)
        .map_err(|cause| Error::invalid_url(format!("`{name}={path}` cannot be read")).with_source(cause))?;
    Ok(Some(bytes))
}

/// The certificate and the key by which the client identifies itself; both or none.
pub(super) fn identity(url: &mut StoreUrl) -> Result<Option<Identity>, Error> {
    match (pem(url, "cert")?, pem(url, "key")?) {
        (Some(certificate), Some(key)) => Ok(Some(Identity { certificate, key: Secret::new(key) })),
        (None, None) => Ok(None),
        _ => Err(Error::invalid_url("`cert` and `key` belong together: a client certificate needs both")),
    }
}

/// What keys begin with: the path without the slash that separates it from the hosts. Another slash after that one, or `%2F`, is
/// the namespace's own.
#[cfg(any(feature = "etcd", feature = "redis"))]
pub(super) fn namespace(url: &StoreUrl) -> &str {
    url.path.strip_prefix('/').unwrap_or(&url.path)
}

/// `host:port` for each host of the URL; there must be one.
pub(super) fn hosts(url: &StoreUrl, default_port: u16) -> Result<Vec<String>, Error> {
    if url.hosts.is_empty() {
        let scheme = &url.scheme;
        return Err(Error::invalid_url(format!(
            "`{scheme}:` URLs name at least one host: `{scheme}://host:{default_port}`"
        )));
    }
    let with_port = |host: &String| if has_port(host) { host.clone() } else { format!("{host}:{default_port}") };
    Ok(url.hosts.iter().map(with_port).collect())
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}
