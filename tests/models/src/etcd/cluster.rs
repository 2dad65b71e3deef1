//! Three members with one state machine, each of which has applied it up to some revision.

use super::machine::{Data, Machine, text};
use crate::bell::Bell;
use crate::network::{Nanos, Network};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How many members there are.
pub(super) const MEMBERS: usize = 3;

/// How often etcd looks for leases that have expired.
const EXPIRES_EVERY: Duration = Duration::from_millis(500);

/// A cluster of etcd.
pub struct Cluster {
    pub(super) network: Arc<Network>,
    machine: Mutex<Machine>,
    /// How far each member has come.
    applied: [Bell; MEMBERS],
    no_leader_until: Mutex<Instant>,
    snapshot: Mutex<Option<Data>>,
}

impl Cluster {
    pub(super) fn of(network: &Arc<Network>, machine: Machine) -> Arc<Self> {
        let cluster = Arc::new(Self {
            network: Arc::clone(network),
            machine: Mutex::new(machine),
            applied: std::array::from_fn(|_| Bell::new(1)),
            no_leader_until: Mutex::new(Instant::now()),
            snapshot: Mutex::new(None),
        });
        tokio::spawn(expire(Arc::downgrade(&cluster)));
        cluster
    }

    /// The state machine.
    pub fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap()
    }

    pub(super) fn now(&self) -> Nanos {
        self.network.now()
    }

    pub(super) fn applied(&self, member: usize) -> &Bell {
        &self.applied[member]
    }

    pub(super) fn has_leader(&self) -> bool {
        *self.no_leader_until.lock().unwrap() <= Instant::now()
    }

    /// Reads or changes the state machine by way of a member, which has applied everything then; the others follow.
    pub(super) fn through<T>(self: &Arc<Self>, member: usize, act: impl FnOnce(&mut Machine, Nanos) -> T) -> T {
        let now = self.now();
        let mut machine = self.machine();
        let before = machine.revision();
        let result = act(&mut machine, now);
        self.applied[member].raise(machine.revision());
        if machine.revision() != before {
            for other in (0..MEMBERS).filter(|other| *other != member) {
                self.follow(other, machine.revision(), machine.generation);
            }
            self.network.changed(&*machine);
        }
        result
    }

    fn follow(self: &Arc<Self>, member: usize, revision: i64, generation: u64) {
        let lag = self.network.weather().lag;
        let (cluster, pause) = (Arc::clone(self), self.network.random(|random| random.millis(0, lag)));
        tokio::spawn(async move {
            sleep(pause).await;
            if cluster.machine().generation == generation {
                cluster.applied[member].raise(revision);
            }
        });
    }

    pub(super) fn change_leader(self: &Arc<Self>, election: Duration) {
        self.network.note("election", || format!("{election:?}"));
        self.stop_for(election);
        let cluster = Arc::clone(self);
        tokio::spawn(async move {
            sleep(election).await;
            let now = cluster.now();
            cluster.machine().new_leader(now);
            cluster.network.note("leader", String::new);
        });
    }

    fn stop_for(&self, lasts: Duration) {
        *self.no_leader_until.lock().unwrap() = Instant::now() + lasts;
        (0..MEMBERS).for_each(|member| self.network.reset_all(member));
    }

    pub(super) fn take_snapshot(&self) {
        let data = self.machine().data.clone();
        self.network.note("snapshot", || format!("at {}", data.revision));
        *self.snapshot.lock().unwrap() = Some(data);
    }

    /// All members are stopped, and started anew with the snapshot; as another cluster, if that is so.
    pub(super) fn restore_snapshot(&self, is_another: bool, downtime: Duration) {
        let Some(data) = self.snapshot.lock().unwrap().take() else { return };
        self.network.note("restored", || format!("at {}, as another cluster: {is_another}", data.revision));
        let now = self.now();
        let mut machine = self.machine();
        machine.go_back(data, now);
        machine.cluster += u64::from(is_another);
        self.applied.iter().for_each(|applied| applied.set(machine.revision()));
        self.network.changed(&*machine);
        drop(machine);
        self.stop_for(downtime);
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("network", &self.network).finish_non_exhaustive()
    }
}

async fn expire(cluster: Weak<Cluster>) {
    loop {
        sleep(EXPIRES_EVERY).await;
        let Some(cluster) = cluster.upgrade() else { return };
        if !cluster.has_leader() {
            continue;
        }
        let expired = cluster.machine().expired(cluster.now());
        for id in expired {
            cluster.through(0, |machine, _| {
                let keys = machine.data.leases.get(&id).map(|lease| lease.keys.iter().map(|key| text(key)).collect());
                cluster.network.note("expired", || format!("{id:x} {:?}", keys.unwrap_or_else(Vec::new)));
                let _ = machine.revoke(id);
            });
        }
    }
}
