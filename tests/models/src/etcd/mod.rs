//! etcd: three members behind the real `etcd-client` and the real store.
//!
//! What is modelled: revisions, transactions, ranges, leases with the leader's clock, elections, watches with their lag,
//! compaction, users and rights, the NOSPACE alarm, snapshots that are restored, strangers who delete, revoke and queue.
//! What is not: nested transactions, TLS, raft itself (what a member has acknowledged is never lost), memory and disks.

mod channel;
mod cluster;
mod faults;
mod keep_alive;
mod machine;
mod member;
mod txn;
mod users;
mod watch;

pub use cluster::Cluster;
pub use faults::Fault;
pub use machine::{Machine, Quirks};

use crate::model::Model;
use crate::network::Network;
use crate::plan::Draw;
use cluster::MEMBERS;
use etcd_client::Channel;
use locks_runtime::store::{Credentials, EtcdDial, Secret, Store, World};
use locks_runtime::stores::etcd::{Config, Etcd};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

/// What a cluster is, before it starts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    /// How its version behaves.
    pub quirks: Quirks,
    /// Whether one has to log in.
    pub has_users: bool,
    /// Whether tokens are void as soon as any right changes.
    pub tokens_have_revision: bool,
}

impl Cluster {
    /// The connection of a process to a member, as `etcd-client` takes it.
    #[must_use]
    pub fn channel(self: &Arc<Self>, process: usize, member: usize) -> Channel {
        channel::channel(self, process, member)
    }
}

impl Model for Cluster {
    type State = Machine;
    type Setup = Setup;
    type Fault = Fault;

    const SERVERS: usize = MEMBERS;
    const PARTS: &'static [&'static str] =
        &["3.7", "short", "users", "nospace", "compaction", "strangers", "elections", "restored"];

    fn draw_setup(draw: &mut Draw) -> Setup {
        let quirks = Quirks {
            keys_only_without_lease: draw.has("3.7", 20),
            renewal_needs_rights: draw.random.chance(50),
            no_space: false,
            has_short_leases: draw.has("short", 20),
        };
        Setup { quirks, has_users: draw.has("users", 20), tokens_have_revision: draw.random.chance(50) }
    }

    fn draw_faults(draw: &mut Draw, setup: &Setup, eventful: bool) -> Vec<(Duration, Fault)> {
        faults::draw(draw, setup, eventful)
    }

    fn start(network: &Arc<Network>, setup: &Setup, pace: u64) -> Arc<Self> {
        let mut machine = Machine::new(pace);
        machine.quirks = setup.quirks;
        machine.users.are_enabled = setup.has_users;
        machine.users.tokens_have_revision = setup.tokens_have_revision;
        Self::of(network, machine)
    }

    fn happen(self: &Arc<Self>, fault: &Fault) {
        faults::happen(self, fault);
    }

    fn store(self: &Arc<Self>, process: usize, world: World) -> Arc<dyn Store> {
        let cluster = Arc::clone(self);
        let dial = EtcdDial(Arc::new(move |url: &str| cluster.channel(process, member_in(url))));
        let has_users = self.machine().users.are_enabled;
        let credentials =
            Credentials { user: users::USER.to_owned(), password: Secret::new(users::PASSWORD.to_owned()) };
        let config = Config {
            endpoints: (0..MEMBERS).map(|member| format!("m{member}:2379")).collect(),
            credentials: has_users.then_some(credentials),
            namespace: String::new(),
            connect_timeout: Duration::from_secs(5),
            tls: None,
        };
        Arc::new(Etcd::new(config, &world.with_etcd(dial)).unwrap())
    }

    fn state(&self) -> MutexGuard<'_, Machine> {
        self.machine()
    }
}

/// The member in `http://m1:2379`.
fn member_in(url: &str) -> usize {
    url.split("//m").nth(1).and_then(|rest| rest.split(':').next()).and_then(|member| member.parse().ok()).unwrap()
}
