//! What every lock of a client has unless it says otherwise.

use std::collections::BTreeMap;
use std::time::Duration;

/// What every lock of a client has unless it says otherwise: in a URL `?ttl=…&connect_timeout=…&label.NAME=…`.
///
/// ```
/// # use locks_runtime as distributed_locks;
/// use distributed_locks::store::Defaults;
/// use std::time::Duration;
///
/// let mut defaults = Defaults::default();
/// defaults.ttl = Duration::from_secs(30);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Defaults {
    /// The TTL of a lock that names none: 10 s.
    pub ttl: Duration,
    /// How long the store may be out of reach before an acquisition without a time to wait fails: 5 s.
    pub connect_timeout: Duration,
    /// The application's own labels, for the holder record: none.
    pub labels: BTreeMap<String, String>,
    /// Where the store is, for messages: the URL without user, password and parameters. Empty if it is not known.
    pub endpoint: String,
}

impl Defaults {
    /// What messages call the store.
    pub(crate) fn store(&self) -> String {
        if self.endpoint.is_empty() { "the store".to_owned() } else { format!("the store at {}", self.endpoint) }
    }
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            labels: BTreeMap::new(),
            endpoint: String::new(),
        }
    }
}
