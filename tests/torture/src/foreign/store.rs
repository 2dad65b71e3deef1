//! Which clients of other projects can share locks with ours on which store, and how they are told which lock.

use std::time::Duration;

use support::peers::Peer;

use crate::run::TTL;

/// How one client is used.
#[derive(Clone, Debug)]
pub(super) struct Usage {
    pub(super) peer: Peer,
    /// Whether it takes part unless others are named.
    pub(super) by_default: bool,
    /// The kind of its locks.
    kind: &'static str,
    /// The client whose driver drives it.
    pub(super) driver: Peer,
    /// It tries again and again, for a lock that it does not renew; otherwise it waits in the queue, and renews.
    pub(super) tries: bool,
    pub(super) ttl: Duration,
    /// It is told that it holds the lock even if its entry was gone when its turn came.
    pub(super) unchecked: bool,
    /// The store, as the client wants it.
    address: String,
    /// What it puts before a key of ours.
    root: String,
}

/// Of client-go, which stops two thirds of it after its last renewal.
const KUBERNETES_TTL: Duration = Duration::from_secs(4);

/// The shortest session that a ZooKeeper grants by default.
const ZOOKEEPER_TTL: Duration = Duration::from_secs(4);

impl Usage {
    /// Those that stand in one line with ours in this store, which has this URL.
    pub(super) fn all(store: &str, url: &str) -> Vec<Self> {
        let Some((scheme, rest)) = url.split_once("://") else { return Vec::new() };
        let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
        let usage = |peer, kind, tries, ttl, address: String, root: &str| Self {
            peer,
            kind,
            by_default: true,
            driver: if peer == Peer::Etcdctl { Peer::Go } else { peer },
            tries,
            ttl,
            unchecked: false,
            address,
            root: root.to_owned(),
        };
        match scheme {
            "etcd" => {
                let address: Vec<String> = hosts.split(',').map(|host| format!("http://{host}")).collect();
                let waiting = |peer, kind| usage(peer, kind, false, TTL, address.join(","), "");
                // jetcd asks the server's lock service, which does not look until 3.5 (etcd-io/etcd#9921).
                let jetcd = Self { unchecked: store.starts_with("etcd-3.4"), ..waiting(Peer::Jetcd, "lock") };
                vec![waiting(Peer::Go, "mutex"), waiting(Peer::Etcdctl, "etcdctl"), jetcd]
            }
            // They would have to find the members by themselves.
            "redis" if ["cluster", "sentinel"].iter().any(|name| parameters.contains(name)) => Vec::new(),
            "redis" => {
                let trying = |peer| usage(peer, "lock", true, TTL, hosts.to_owned(), "");
                vec![trying(Peer::RedisPy), trying(Peer::Redisson)]
            }
            "zookeeper" => {
                let root = if path.is_empty() { String::new() } else { format!("/{path}") };
                let waiting = |peer, kind| usage(peer, kind, false, ZOOKEEPER_TTL, hosts.to_owned(), &root);
                if parameters.contains("layout=kazoo") {
                    return vec![waiting(Peer::Kazoo, "kazoo")];
                }
                // Curator does not count Kazoo's names, so they exclude us, but not each other.
                let kazoo = Self { by_default: false, ..waiting(Peer::Kazoo, "curator") };
                vec![waiting(Peer::Curator, "mutex"), kazoo]
            }
            "kubernetes" => {
                let file = |name: &str| parameters.split('&').find_map(|one| one.strip_prefix(&format!("{name}=")));
                let (Some(ca), Some(token)) = (file("ca"), file("token_file")) else { return Vec::new() };
                // Its own account renews by `update`.
                let address = format!("https://{hosts},{ca},{}", token.replace("/token", "/admin"));
                vec![usage(Peer::ClientGo, "elector", false, KUBERNETES_TTL, address, "")]
            }
            "postgres" | "mysql" => {
                let table = parameters.split('&').find_map(|parameter| parameter.strip_prefix("table="));
                let Some(table) = table.filter(|table| table.to_lowercase().ends_with("shedlock")) else {
                    return Vec::new();
                };
                let before = if scheme == "mysql" { "mariadb://" } else { "" };
                let address = format!("{before}{hosts}/{path}/{table}");
                let trying = |peer| usage(peer, "database-time", true, TTL, address.clone(), "");
                vec![trying(Peer::ShedLock5), trying(Peer::ShedLock6)]
            }
            _ => Vec::new(),
        }
    }

    /// The line that requests a lock.
    pub(super) fn request(&self, key: &str) -> String {
        let command = if self.tries { "try" } else { "lock" };
        let Self { kind, address, root, ttl, .. } = self;
        let name =
            if self.peer == Peer::ClientGo { support::kubernetes::lease_name(key) } else { format!("{root}{key}") };
        format!("{command} {kind} {address} {name} {}", ttl.as_millis())
    }
}
