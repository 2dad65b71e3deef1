//! What only one store has, by type.

#[cfg(feature = "server-facts")]
use std::collections::BTreeMap;
use std::fmt;

/// What only one store has, for the methods of this crate that are about that store alone.
#[derive(Clone, Default)]
pub struct Native(pub(crate) Kind);

/// Filled by the stores of this crate only.
#[derive(Clone, Default)]
pub(crate) enum Kind {
    #[default]
    None,
    /// Open files whose locks are the entry's: whoever has one of them open keeps that lock.
    #[cfg(unix)]
    Descriptors(std::sync::Arc<Vec<std::os::fd::OwnedFd>>),
    /// Makes clients of the same etcd.
    #[cfg(feature = "etcd")]
    EtcdClient(EtcdClient),
    /// Asks the server what it says of itself.
    #[cfg(feature = "server-facts")]
    ServerFacts(AskServer),
    /// Holds in etcd for as long as an entry is there.
    #[cfg(feature = "etcd")]
    EtcdCompare(Box<etcd_client::Compare>),
    /// Holds in PostgreSQL for as long as a row is the entry's.
    #[cfg(feature = "postgres")]
    PostgresCondition(Box<crate::values::condition::PostgresCondition>),
}

/// Connects one more client to the same etcd.
#[cfg(feature = "etcd")]
pub(crate) type EtcdClient = std::sync::Arc<dyn Fn() -> super::pending::Pending<etcd_client::Client> + Send + Sync>;

/// What a server says of itself, by name.
#[cfg(feature = "server-facts")]
pub(crate) type ServerFacts = BTreeMap<&'static str, String>;

/// Asks the server what it says of itself.
#[cfg(feature = "server-facts")]
pub(crate) type AskServer = std::sync::Arc<dyn Fn() -> super::pending::Pending<ServerFacts> + Send + Sync>;

impl Native {
    /// Nothing: the store has no more than the contract.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Open files whose locks are the entry's.
    #[cfg(unix)]
    pub(crate) fn descriptors(files: Vec<std::os::fd::OwnedFd>) -> Self {
        Self(Kind::Descriptors(std::sync::Arc::new(files)))
    }
}

impl fmt::Debug for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Native").finish_non_exhaustive()
    }
}
