//! How connections are made.

/// Where connections lead.
#[derive(Clone, Debug)]
pub(super) enum Dial {
    /// To the servers that are named.
    Network,
    /// etcd's to what a test puts in the servers' place.
    #[cfg(all(feature = "testing", feature = "etcd"))]
    Etcd(EtcdDial),
}

/// Makes the connection to one member of an etcd cluster, given its URL.
#[cfg(all(feature = "testing", feature = "etcd"))]
#[derive(Clone)]
pub struct EtcdDial(pub std::sync::Arc<dyn Fn(&str) -> etcd_client::Channel + Send + Sync>);

#[cfg(all(feature = "testing", feature = "etcd"))]
impl std::fmt::Debug for EtcdDial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdDial").finish_non_exhaustive()
    }
}
