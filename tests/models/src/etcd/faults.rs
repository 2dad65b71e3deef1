//! What happens to a cluster of etcd.

use super::Setup;
use super::cluster::{Cluster, MEMBERS};
use super::machine::Machine;
use crate::model::{Effect, ServerFault, State};
use crate::plan::{Draw, USUAL};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// What comes back with a snapshot lapses within this time: the longest TTL and `hold_at_least` of a plan.
const LAPSES_WITHIN: Duration = Duration::from_secs(60);

/// What happens to a cluster of etcd, beside its network.
#[derive(Clone, Debug)]
pub enum Fault {
    /// No leader for a while; then a new one, which counts every lease anew.
    Election(Duration),
    /// The alarm NOSPACE; for ever, if it does not end.
    NoSpace(Option<Duration>),
    /// The history up to now is forgotten.
    Compaction,
    /// Every token becomes void.
    TokensExpire,
    /// For a while nobody may touch this lock.
    RightsRevoked(&'static str, Duration),
    /// Somebody deletes what is under this lock's name, or only the holder's key.
    Deletion {
        /// The lock.
        key: &'static str,
        /// Only the holder's entry.
        only_head: bool,
    },
    /// Somebody revokes the lease of this lock's holder.
    Revocation(&'static str),
    /// Another client's entry in the queue of this lock, for a while.
    Foreigner(&'static str, Duration),
    /// A snapshot is taken; after a while the cluster goes back to it.
    Restored {
        /// After how long.
        after: Duration,
        /// How long nobody answers.
        downtime: Duration,
        /// Whether it is another cluster then, by its id.
        is_another: bool,
    },
}

impl ServerFault for Fault {
    fn lasts(&self) -> Duration {
        match self {
            Self::Election(lasts) | Self::RightsRevoked(_, lasts) | Self::Foreigner(_, lasts) => *lasts,
            Self::NoSpace(lasts) => lasts.unwrap_or_default(),
            Self::Restored { after, downtime, .. } => *after + *downtime + LAPSES_WITHIN,
            Self::Compaction | Self::TokensExpire | Self::Deletion { .. } | Self::Revocation(_) => Duration::ZERO,
        }
    }

    fn effect(&self) -> Effect {
        match self {
            // Another client in the queue is a reason to wait and no other.
            Self::Compaction | Self::TokensExpire | Self::Foreigner(..) => Effect::Nothing,
            Self::Deletion { .. } | Self::Revocation(_) => Effect::TakesEntries,
            Self::RightsRevoked(key, _) => Effect::Harms(key),
            Self::Election(_) | Self::NoSpace(_) | Self::Restored { .. } => Effect::HarmsAll,
        }
    }

    fn lengthens_leases(&self) -> bool {
        matches!(self, Self::Election(_) | Self::Restored { .. })
    }
}

pub(super) fn draw(draw: &mut Draw, setup: &Setup, eventful: bool) -> Vec<(Duration, Fault)> {
    let mut faults = Vec::new();
    if draw.has("elections", if eventful { 50 } else { 0 }) {
        for _ in 0..1 + draw.random.below(2) {
            faults.push((draw.moment(), Fault::Election(draw.random.millis(200, 2500))));
        }
    }
    if draw.has("nospace", 8) {
        let lasts = draw.random.chance(50).then(|| draw.random.millis(1000, 60_000));
        faults.push((draw.random.millis(0, 15_000), Fault::NoSpace(lasts)));
    }
    if draw.has("compaction", 15) {
        for _ in 0..1 + draw.random.below(10) {
            faults.push((draw.moment(), Fault::Compaction));
        }
    }
    if setup.has_users {
        for _ in 0..draw.random.below(4) {
            let key = draw.random.pick(&USUAL);
            let lasts = draw.random.millis(200, 20_000);
            let fault = if draw.random.chance(50) { Fault::TokensExpire } else { Fault::RightsRevoked(key, lasts) };
            faults.push((draw.moment(), fault));
        }
    }
    if draw.has("strangers", 10) {
        for _ in 0..1 + draw.random.below(3) {
            let key = draw.random.pick(&USUAL);
            let lasts = draw.random.millis(1000, 15_000);
            let fault = match draw.random.below(4) {
                0 => Fault::Deletion { key, only_head: false },
                1 => Fault::Deletion { key, only_head: true },
                2 => Fault::Revocation(key),
                _ => Fault::Foreigner(key, lasts),
            };
            faults.push((draw.moment(), fault));
        }
    }
    if draw.has("restored", 4) {
        let after = draw.random.millis(100, 20_000);
        let (downtime, is_another) = (draw.random.millis(1, 4000), draw.random.chance(50));
        faults.push((draw.moment(), Fault::Restored { after, downtime, is_another }));
    }
    faults
}

pub(super) fn happen(cluster: &Arc<Cluster>, fault: &Fault) {
    cluster.network.note("fault", || format!("{fault:?}"));
    match *fault {
        Fault::Election(lasts) => cluster.change_leader(lasts),
        Fault::NoSpace(lasts) => {
            cluster.machine().quirks.no_space = true;
            if let Some(lasts) = lasts {
                later(cluster, lasts, |cluster| cluster.machine().quirks.no_space = false);
            }
        }
        Fault::Compaction => {
            let mut machine = cluster.machine();
            let revision = machine.revision();
            let _ = machine.compact(revision);
        }
        Fault::TokensExpire => cluster.machine().users.expire(),
        Fault::RightsRevoked(key, lasts) => {
            cluster.machine().users.forbid(&format!("{key}/"), &format!("{key}0"));
            later(cluster, lasts, |cluster| cluster.machine().users.allow_all());
        }
        Fault::Deletion { key, only_head } => take(cluster, key, only_head),
        Fault::Revocation(key) => revoke(cluster, key),
        Fault::Foreigner(key, lasts) => queue(cluster, key, lasts),
        Fault::Restored { after, downtime, is_another } => {
            cluster.take_snapshot();
            later(cluster, after, move |cluster| cluster.restore_snapshot(is_another, downtime));
        }
    }
}

fn later(cluster: &Arc<Cluster>, after: Duration, act: impl FnOnce(&Arc<Cluster>) + Send + 'static) {
    let cluster = Arc::clone(cluster);
    tokio::spawn(async move {
        sleep(after).await;
        act(&cluster);
    });
}

/// The member through which strangers do what they do.
fn any_member(cluster: &Cluster) -> usize {
    cluster.network.random(|random| random.index(MEMBERS))
}

fn entries(machine: &Machine, key: &str) -> Vec<Vec<u8>> {
    machine.queue(key).into_iter().map(|entry| entry.id.into_bytes()).collect()
}

fn take(cluster: &Arc<Cluster>, key: &str, only_head: bool) {
    cluster.through(any_member(cluster), |machine, now| {
        let mut taken = entries(machine, key);
        if only_head {
            taken.truncate(1);
        }
        machine.disturb(&taken, now);
        let at = machine.revision() + 1;
        let deleted: i64 = taken.iter().map(|key| machine.delete(key, &[], at)).sum();
        machine.data.revision += i64::from(deleted > 0);
    });
}

fn revoke(cluster: &Arc<Cluster>, key: &str) {
    cluster.through(any_member(cluster), |machine, now| {
        let Some(head) = entries(machine, key).into_iter().next() else { return };
        let Some(lease) = machine.data.keys.get(&head).map(|kv| kv.lease) else { return };
        let taken: Option<Vec<_>> = machine.data.leases.get(&lease).map(|lease| lease.keys.iter().cloned().collect());
        machine.disturb(&taken.unwrap_or_default(), now);
        let _ = machine.revoke(lease);
    });
}

/// An entry as Go's `concurrency.Mutex` makes one.
fn queue(cluster: &Arc<Cluster>, key: &'static str, lasts: Duration) {
    let lease = cluster.network.random(|random| (random.bits() >> 1) as i64);
    cluster.through(any_member(cluster), |machine, now| {
        let ttl = lasts.as_secs() as i64 + 2;
        if machine.grant(now, lease, ttl).is_ok() {
            let at = machine.revision() + 1;
            machine.put(format!("{key}/{lease:x}").as_bytes(), b"", lease, at);
            machine.data.revision = at;
        }
    });
    later(cluster, lasts, move |cluster| {
        cluster.through(any_member(cluster), |machine, _| drop(machine.revoke(lease)));
    });
}
