//! Schemes of stores in other crates.

use crate::contract::Store;
use crate::values::defaults::Defaults;
use crate::values::error::{Error, ErrorKind};
use crate::values::mutex::Mutex;
use crate::values::url::StoreUrl;
use crate::world::World;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Makes the store of a URL. It takes the parameters that it knows out of the URL; what is left is refused.
pub type Opener = Arc<dyn Fn(&mut StoreUrl, &Defaults, &World) -> Result<Arc<dyn Store>, Error> + Send + Sync>;

/// The schemes that cannot be registered.
pub(super) const BUILT_IN: [&str; 13] = [
    "etcd",
    "etcds",
    "redis",
    "rediss",
    "zookeeper",
    "zookeepers",
    "postgres",
    "postgresql",
    "mysql",
    "mariadb",
    "kubernetes",
    "file",
    "memory",
];

static OPENERS: Mutex<BTreeMap<String, Opener>> = Mutex::new(BTreeMap::new());

/// Makes URLs of `scheme` lead to stores that `open` makes, in `init`, `Locks::connect` and `LOCKS_URL` alike. Call it
/// before the first of these, in `main`.
///
/// # Errors
///
/// `InvalidUrl` if this crate has the scheme itself, or it is not in lower case; `AlreadyConfigured` if it is registered.
///
/// # Examples
///
/// ```
/// # use locks_runtime as distributed_locks;
/// # mod distributed_locks_store { pub use locks_runtime::{Error, store::register_scheme}; pub use locks_runtime::stores::memory::Memory; }
/// # use distributed_locks_store::*;
/// # fn main() -> Result<(), Error> {
/// use std::sync::Arc;
///
/// register_scheme("pigeons", |url, _defaults, world| Ok(Arc::new(Memory::named(&url.path, world))))?;
/// let locks = distributed_locks::Locks::connect("pigeons:loft?ttl=30s")?;
/// # drop(locks);
/// # Ok(())
/// # }
/// ```
pub fn register_scheme<F>(scheme: &str, open: F) -> Result<(), Error>
where
    F: Fn(&mut StoreUrl, &Defaults, &World) -> Result<Arc<dyn Store>, Error> + Send + Sync + 'static,
{
    let is_scheme = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    if BUILT_IN.contains(&scheme) || scheme.is_empty() || !scheme.bytes().all(is_scheme) {
        return Err(Error::invalid_url(format!(
            "`{scheme}` cannot be registered as the scheme of a store: it is built in, or not in lower case"
        )));
    }
    let mut openers = OPENERS.lock();
    if openers.contains_key(scheme) {
        return Err(Error::new(ErrorKind::AlreadyConfigured, format!("the scheme `{scheme}` is registered already")));
    }
    openers.insert(scheme.to_owned(), Arc::new(open));
    Ok(())
}

pub(super) fn opener(scheme: &str) -> Option<Opener> {
    OPENERS.lock().get(scheme).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::memory::Memory;

    fn register(scheme: &str) -> Result<(), Error> {
        register_scheme(scheme, |url, _, world| Ok(Arc::new(Memory::named(&url.path, world))))
    }

    #[test]
    fn a_scheme_is_registered_once_and_never_a_built_in_one() {
        register("pigeon+post").unwrap();
        assert_eq!(register("pigeon+post").unwrap_err().kind(), ErrorKind::AlreadyConfigured);
        for bad in ["etcd", "memory", "", "Pigeons", "a b"] {
            assert_eq!(register(bad).unwrap_err().kind(), ErrorKind::InvalidUrl, "{bad}");
        }
    }
}
