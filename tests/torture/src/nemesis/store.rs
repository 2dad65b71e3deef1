//! The store that a run is on: one that the torture has started, or one that somebody else has.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use support::cases::Program;
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::etcd::{self, EtcdCluster};
use super::fault::Fault;
use super::file::{self, Directory};
use super::kubernetes::{self, Cluster};
use super::log::FaultLog;
use super::members::{self, Members};
use super::mysql::{self, MysqlServer};
use super::observer::{Entry, Seen};
use super::postgres::{self, PostgresPair};
use super::redis::{self, RedisPair};
use super::zookeeper::{self, Ensemble};
use crate::clock::now;
use crate::history::Recorder;
use crate::random::Random;

/// The store of a run. Each that the torture starts has a room of its own beside this file: its faults, how they are
/// injected, and what is in it.
#[derive(Debug)]
pub enum Store {
    /// An etcd cluster.
    Etcd(EtcdCluster),
    /// A Redis or Valkey server with a replica.
    Redis(Box<RedisPair>),
    /// A Redis Cluster, or a primary with sentinels.
    Members(Members),
    /// A MariaDB server.
    Mysql(MysqlServer),
    /// A PostgreSQL server with a standby.
    Postgres(PostgresPair),
    /// A ZooKeeper ensemble.
    ZooKeeper(Ensemble),
    /// An API server of Kubernetes.
    Kubernetes(Box<Cluster>),
    /// A directory of lock files.
    File(Directory),
    /// A store that somebody else has started.
    Named(String),
}

/// The kinds of stores, by the faults that can be injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An etcd cluster that the torture has started.
    Etcd,
    /// The same, with users.
    EtcdWithUsers,
    /// A Redis or Valkey server with a replica.
    Redis,
    /// A Redis Cluster.
    RedisCluster,
    /// A Redis primary that sentinels watch.
    RedisSentinel,
    /// A MariaDB server.
    Mysql,
    /// A PostgreSQL server with a standby.
    Postgres,
    /// A ZooKeeper ensemble.
    ZooKeeper,
    /// An API server of Kubernetes.
    Kubernetes,
    /// A directory that the torture has made.
    File,
    /// A server that somebody else has started: faults of the workers and of the network between them and it.
    Remote,
    /// Files: faults of the workers only.
    Directory,
}

impl Kind {
    /// All of them.
    pub const EACH: [Self; 12] = [
        Self::Etcd,
        Self::EtcdWithUsers,
        Self::Redis,
        Self::RedisCluster,
        Self::RedisSentinel,
        Self::Mysql,
        Self::Postgres,
        Self::ZooKeeper,
        Self::Kubernetes,
        Self::File,
        Self::Remote,
        Self::Directory,
    ];

    /// One fault of the store of each kind that it has.
    pub(super) fn deck(self, random: &mut Random) -> Vec<Fault> {
        match self {
            Self::Etcd => etcd::Fault::deck(random).into_iter().map(Fault::Etcd).collect(),
            Self::EtcdWithUsers => etcd::Fault::deck_with_users(random).into_iter().map(Fault::Etcd).collect(),
            Self::Redis => redis::Fault::deck(random).into_iter().map(Fault::Redis).collect(),
            Self::RedisCluster => members::Fault::deck_of_cluster(random).into_iter().map(Fault::Members).collect(),
            Self::RedisSentinel => members::Fault::deck_of_sentinels(random).into_iter().map(Fault::Members).collect(),
            Self::Mysql => mysql::Fault::deck(random).into_iter().map(Fault::Mysql).collect(),
            Self::Postgres => postgres::Fault::deck(random).into_iter().map(Fault::Postgres).collect(),
            Self::ZooKeeper => zookeeper::Fault::deck(random).into_iter().map(Fault::ZooKeeper).collect(),
            Self::Kubernetes => kubernetes::Fault::deck(random).into_iter().map(Fault::Kubernetes).collect(),
            Self::File => file::Fault::deck(random).into_iter().map(Fault::File).collect(),
            Self::Remote | Self::Directory => Vec::new(),
        }
    }

    /// Whether the torture has started it, and may look into it.
    pub(super) fn is_local(self) -> bool {
        !matches!(self, Self::Remote | Self::Directory)
    }

    /// Whether nothing says of a waiter that it is dead, before its turn has come.
    #[must_use]
    pub fn has_dead_waiters(self) -> bool {
        self == Self::Kubernetes
    }

    /// Whether it is reached over a network that may have faults. Members of a cluster and primaries are where they say that they
    /// are, by no proxy.
    #[must_use]
    pub fn has_network(self) -> bool {
        !matches!(self, Self::Directory | Self::File | Self::RedisCluster | Self::RedisSentinel)
    }
}

impl Store {
    /// Starts the installed store with this label, unless it is a URL.
    ///
    /// # Errors
    ///
    /// If there is no such store.
    pub async fn start(store: &str) -> io::Result<Self> {
        if store.contains(':') {
            return Ok(Self::Named(store.to_owned()));
        }
        let (label, with_users) = store.strip_suffix("+users").map_or((store, false), |label| (label, true));
        if let Some(binary) = installed::<support::etcd::Binary>(label) {
            return EtcdCluster::start(binary, with_users).await.map(Self::Etcd);
        }
        for (ending, start) in [("-cluster", Members::cluster as fn(&_) -> Members), ("-sentinel", Members::sentinels)]
        {
            // `redis-cluster` and `redis-cluster-7.0`.
            let parts = store.split_once(ending);
            if let Some(binary) = parts.and_then(|(project, rest)| installed(&format!("{project}{rest}"))) {
                return Ok(Self::Members(block_in_place(|| start(binary))));
            }
        }
        if let Some(binary) = installed::<support::redis::Binary>(store) {
            return Ok(Self::Redis(Box::new(RedisPair::start(binary).await)));
        }
        // The scheme of its URLs is as good a name.
        if let Some(binary) = installed::<support::mysql::Binary>(if store == "mysql" { "mariadb" } else { store }) {
            return Ok(Self::Mysql(MysqlServer::start(binary)));
        }
        if let Some(binary) = installed::<support::postgres::Binary>(store) {
            return Ok(Self::Postgres(PostgresPair::start(binary)));
        }
        if let Some(program) = installed::<support::zookeeper::Installed>(store) {
            return Ok(Self::ZooKeeper(Ensemble::start(program)));
        }
        if let Some(program) = installed::<support::kubernetes::Binary>(store) {
            return Ok(Self::Kubernetes(Box::new(Cluster::start(program))));
        }
        if store == "file" {
            return Ok(Self::File(Directory::create()));
        }
        let labels = [
            labels::<support::etcd::Binary>(),
            labels::<support::redis::Binary>(),
            labels::<support::mysql::Binary>(),
            labels::<support::postgres::Binary>(),
            labels::<support::zookeeper::Installed>(),
            labels::<support::kubernetes::Binary>(),
        ]
        .concat()
        .join(", ");
        Err(io::Error::other(format!("STORE={store}: expected a URL, `file`, or one that is installed: {labels}")))
    }

    /// By the faults that can be injected.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Etcd(store) if store.has_users() => Kind::EtcdWithUsers,
            Self::Etcd(_) => Kind::Etcd,
            Self::Redis(_) => Kind::Redis,
            Self::Members(Members::Cluster(_)) => Kind::RedisCluster,
            Self::Members(Members::Sentinels(_)) => Kind::RedisSentinel,
            Self::Mysql(_) => Kind::Mysql,
            Self::Postgres(_) => Kind::Postgres,
            Self::ZooKeeper(_) => Kind::ZooKeeper,
            Self::Kubernetes(_) => Kind::Kubernetes,
            Self::File(_) => Kind::File,
            Self::Named(url) if url.starts_with("file:") => Kind::Directory,
            Self::Named(_) => Kind::Remote,
        }
    }

    /// Its URL, by which no fault of the network has an effect.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Self::Etcd(store) => store.url(),
            Self::Redis(store) => store.url(),
            Self::Members(store) => store.url(),
            Self::Mysql(store) => store.url(),
            Self::Postgres(store) => store.url(),
            Self::ZooKeeper(store) => store.url(),
            Self::Kubernetes(store) => store.url(),
            Self::File(store) => store.url(),
            Self::Named(url) => url.clone(),
        }
    }

    /// Injects a fault of this store, and returns when it is over.
    pub(super) async fn inject(&self, fault: Fault, length: Duration, log: &FaultLog) {
        match (self, fault) {
            (Self::Etcd(store), Fault::Etcd(fault)) => store.inject(fault, length, log).await,
            (Self::Redis(store), Fault::Redis(fault)) => store.inject(fault, length, log).await,
            (Self::Members(store), Fault::Members(fault)) => store.inject(fault, length, log).await,
            (Self::Mysql(store), Fault::Mysql(fault)) => store.inject(fault, length, log).await,
            (Self::Postgres(store), Fault::Postgres(fault)) => store.inject(fault, length, log).await,
            (Self::ZooKeeper(store), Fault::ZooKeeper(fault)) => store.inject(fault, length, log).await,
            (Self::Kubernetes(store), Fault::Kubernetes(fault)) => store.inject(fault, length, log).await,
            (Self::File(store), Fault::File(fault)) => store.inject(fault, length, log).await,
            _ => {}
        }
    }

    /// Takes from the process with this number everything that it holds or waits for, as another client.
    pub(super) async fn revoke(&self, pid: u32) {
        match self {
            Self::Etcd(store) => store.admin.revoke_leases_of(pid).await,
            Self::Redis(store) => block_in_place(|| store.revoke(pid)),
            Self::Members(store) => block_in_place(|| store.revoke(pid)),
            Self::Mysql(store) => block_in_place(|| store.revoke(pid)),
            Self::Postgres(store) => block_in_place(|| store.revoke(pid)),
            Self::ZooKeeper(store) => store.revoke(pid).await,
            Self::Kubernetes(store) => block_in_place(|| store.revoke(pid)),
            Self::File(store) => store.revoke(pid),
            Self::Named(_) => {}
        }
    }

    /// Records what appears and disappears in the store, until it is dropped.
    pub async fn observe(self: Arc<Self>, recorder: Recorder) {
        let entries = async {
            let mut seen = Seen::new(&recorder);
            loop {
                let requested = now();
                seen.update(requested, self.entries().await);
                sleep(Duration::from_millis(100)).await;
            }
        };
        let members = async {
            if let Self::Etcd(store) = &*self {
                store.admin.observe_members(&recorder).await;
            }
        };
        tokio::join!(entries, members);
    }

    /// Everything that holds or waits; `None` if the store does not answer.
    async fn entries(&self) -> Option<Vec<Entry>> {
        match self {
            Self::Etcd(store) => store.admin.entries().await,
            Self::Redis(store) => block_in_place(|| store.entries()),
            Self::Members(store) => block_in_place(|| store.entries()),
            Self::Mysql(store) => block_in_place(|| store.entries()),
            Self::Postgres(store) => store.entries().await,
            Self::ZooKeeper(store) => store.entries().await,
            Self::Kubernetes(store) => block_in_place(|| store.entries()),
            Self::File(store) => store.entries(),
            Self::Named(_) => None,
        }
    }

    /// A server that has ended by itself, with the end of its log, if there is one.
    #[must_use]
    pub fn ended_by_itself(&self) -> Option<String> {
        match self {
            Self::Etcd(store) => store.ended_by_itself(),
            Self::Redis(store) => store.ended_by_itself(),
            Self::Members(store) => store.ended_by_itself(),
            Self::Mysql(store) => store.ended_by_itself(),
            Self::Postgres(store) => store.ended_by_itself(),
            Self::ZooKeeper(store) => store.ended_by_itself(),
            Self::Kubernetes(store) => store.ended_by_itself(),
            Self::File(_) | Self::Named(_) => None,
        }
    }

    /// What is in the store although nobody holds or waits, and its documentation does not say that it stays.
    pub async fn left_behind(&self) -> Vec<String> {
        match self {
            Self::Etcd(store) => store.admin.left_behind().await,
            Self::Redis(store) => block_in_place(|| store.left_behind()),
            Self::Members(store) => block_in_place(|| store.left_behind()),
            Self::Mysql(store) => block_in_place(|| store.left_behind()),
            Self::Postgres(store) => block_in_place(|| store.left_behind()),
            Self::ZooKeeper(store) => store.left_behind().await,
            Self::Kubernetes(store) => block_in_place(|| store.left_behind()),
            Self::File(store) => store.left_behind(),
            Self::Named(_) => Vec::new(),
        }
    }

    /// The servers' logs, which are deleted with the servers.
    #[must_use]
    pub fn logs(&self) -> Vec<PathBuf> {
        match self {
            Self::Etcd(store) => store.logs().map(Path::to_owned).collect(),
            Self::Redis(store) => store.logs().map(Path::to_owned).collect(),
            Self::Members(store) => store.logs().map(Path::to_owned).collect(),
            Self::Mysql(store) => store.logs(),
            Self::Postgres(store) => store.logs(),
            Self::ZooKeeper(store) => store.logs(),
            Self::Kubernetes(store) => store.logs(),
            Self::File(_) | Self::Named(_) => Vec::new(),
        }
    }
}

/// The program with this label, or the newest of this project or major version: `redis` and `redis-7` are `redis-7.0`.
fn installed<P: Program>(label: &str) -> Option<&'static P> {
    let fits = |program: &&P| {
        program.label().strip_prefix(label).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']))
    };
    P::installed().iter().rfind(fits)
}

fn labels<P: Program>() -> Vec<String> {
    P::installed().iter().map(|program| format!("`{}`", program.label())).collect()
}
