//! Several Redis servers that choose their primaries by themselves: a cluster, or a primary and a replica with sentinels.

use std::path::Path;
use std::time::Duration;

use support::redis::{Binary, Cluster, Redis, SentinelSetup, Sentinels};
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::lasting;
use super::log::FaultLog;
use super::observer::Entry;
use super::redis::entries;
use crate::history::Scope;
use crate::workers::all_keys;

pub mod fault;

pub use fault::Fault;

/// The servers. Requests of the torture itself block their thread.
#[derive(Debug)]
pub enum Members {
    /// Three shards.
    Cluster(Cluster),
    /// One primary.
    Sentinels(Sentinels),
}

/// How soon every client has heard that another server is the primary, on a busy machine.
const HEARD_WITHIN: Duration = Duration::from_secs(1);
/// After so long the servers do not promote anybody any more because of what was down before.
const DECIDED_WITHIN: Duration = Duration::from_secs(6);

/// A TTL, in milliseconds: who holds what was forgotten finds out by the next renewal, or at the deadline.
const NOTICED_WITHIN: u64 = 3_000;

impl Members {
    /// Starts a cluster.
    #[must_use]
    pub fn cluster(binary: &Binary) -> Self {
        Self::Cluster(Cluster::start(binary))
    }

    /// Starts a primary with a replica, and sentinels.
    #[must_use]
    pub fn sentinels(binary: &Binary) -> Self {
        Self::Sentinels(Sentinels::start(binary, &SentinelSetup::default()))
    }

    /// Their URL, which no fault of the network has an effect on: the members are where they say that they are.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Self::Cluster(cluster) => cluster.url(),
            Self::Sentinels(sentinels) => sentinels.url(),
        }
    }

    /// The logs of all.
    pub fn logs(&self) -> impl Iterator<Item = &Path> {
        self.all().into_iter().map(|server| server.log())
    }

    /// One that has ended by itself, with the end of its log, if there is one.
    pub(super) fn ended_by_itself(&self) -> Option<String> {
        self.all().into_iter().find_map(|server| server.ended_by_itself())
    }

    /// Everything that holds or waits.
    pub(super) fn entries(&self) -> Option<Vec<Entry>> {
        let each: Option<Vec<Vec<Entry>>> = self.primaries().into_iter().map(entries::read).collect();
        Some(each?.concat())
    }

    /// Deletes every entry of the process with this number.
    pub(super) fn revoke(&self, pid: u32) {
        self.primaries().into_iter().for_each(|primary| entries::delete(primary, pid));
    }

    /// The keys that should not be there when nobody holds or waits.
    pub(super) fn left_behind(&self) -> Vec<String> {
        self.primaries().into_iter().flat_map(Redis::all_keys).collect()
    }

    /// Injects the fault, and returns when it is over.
    pub(super) async fn inject(&self, fault: Fault, length: Duration, log: &FaultLog) {
        let named = super::Fault::Members(fault);
        self.settled().await;
        match fault {
            Fault::MoveSlot(choice) => return self.move_slot(choice, length, log, named).await,
            Fault::KillSentinel(choice) => {
                let Self::Sentinels(sentinels) = self else { return };
                let number = log.begin(named, Scope::Load);
                let chosen = one_of(sentinels.sentinels(), choice);
                block_in_place(|| chosen.kill());
                sleep(length).await;
                block_in_place(|| chosen.restart());
                return log.end(number);
            }
            _ => {}
        }
        let key = self.key(fault);
        let primary = self.primary_of(&key);
        let (before, replica) = (primary.endpoint(), self.replica_of(primary));
        let number = log.begin(named, Scope::Store);
        match fault {
            Fault::FailOver(_) => {
                block_in_place(|| primary.kill());
                self.promoted(&key, &before).await;
                log.mark(named, Scope::Forgotten(NOTICED_WITHIN));
                block_in_place(|| primary.restart());
            }
            Fault::PauseUntilPromoted(_) => {
                block_in_place(|| primary.pause());
                self.promoted(&key, &before).await;
                // It grants what it is asked by those who have not heard of it yet.
                let former = log.begin(named, Scope::FormerPrimary(NOTICED_WITHIN));
                block_in_place(|| primary.resume());
                sleep(HEARD_WITHIN).await;
                log.end(former);
            }
            Fault::Pause(_) => {
                block_in_place(|| primary.pause());
                sleep(length).await;
                log.mark(named, Scope::Forgotten(NOTICED_WITHIN));
                block_in_place(|| primary.resume());
            }
            Fault::LoseShard(_) => {
                block_in_place(|| replica.kill());
                block_in_place(|| primary.kill());
                let forgotten = log.begin(named, Scope::Forgotten(NOTICED_WITHIN));
                sleep(length).await;
                block_in_place(|| primary.restart());
                block_in_place(|| replica.restart());
                // A replica that is as empty may be promoted yet.
                sleep(DECIDED_WITHIN).await;
                log.end(forgotten);
            }
            Fault::KillReplica(_) => {
                block_in_place(|| replica.kill());
                sleep(length).await;
                block_in_place(|| replica.restart());
            }
            _ => {
                let act = || {
                    for primary in self.primaries() {
                        let _ = primary.try_ask(&["CLIENT", "KILL", "TYPE", "normal"]);
                        let _ = primary.try_ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
                    }
                };
                lasting::repeat(length, act).await;
            }
        }
        self.settled().await;
        log.end(number);
    }

    /// As `redis-cli --cluster reshard` does, but slowly: what is in two places for a while is refused for that time.
    async fn move_slot(&self, choice: u64, length: Duration, log: &FaultLog, named: super::Fault) {
        let Self::Cluster(cluster) = self else { return };
        let keys: Vec<String> = all_keys().into_iter().collect();
        let key = one_of(&keys, choice);
        let number = log.begin(named, Scope::Store);
        let (slot, from) = (cluster.slot(key), cluster.primary_of(key));
        let to = self.primaries().into_iter().find(|other| other.endpoint() != from.endpoint());
        if let Some(to) = to {
            block_in_place(|| cluster.begin_move(slot, from, to));
            sleep(length / 2).await;
            block_in_place(|| cluster.move_keys(slot, from, to, |name| name.len() % 2 == 0));
            sleep(length / 2).await;
            block_in_place(|| cluster.end_move(slot, from, to));
        }
        log.end(number);
    }

    /// Waits until there is nothing to be done any more by the servers: each primary has its replica.
    async fn settled(&self) {
        while !block_in_place(|| match self {
            Self::Cluster(cluster) => cluster.is_settled(),
            Self::Sentinels(sentinels) => sentinels.is_settled(),
        }) {
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn promoted(&self, key: &str, before: &str) {
        while !block_in_place(|| match self {
            Self::Cluster(cluster) => cluster.has_promoted(key, before),
            Self::Sentinels(sentinels) => sentinels.has_promoted(before),
        }) {
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn key(&self, fault: Fault) -> String {
        let choice = match fault {
            Fault::FailOver(choice)
            | Fault::PauseUntilPromoted(choice)
            | Fault::Pause(choice)
            | Fault::LoseShard(choice)
            | Fault::KillReplica(choice) => choice,
            _ => 0,
        };
        one_of(&all_keys().into_iter().collect::<Vec<_>>(), choice).clone()
    }

    fn primary_of(&self, key: &str) -> &Redis {
        block_in_place(|| match self {
            Self::Cluster(cluster) => cluster.primary_of(key),
            Self::Sentinels(sentinels) => sentinels.primary(),
        })
    }

    fn replica_of(&self, primary: &Redis) -> &Redis {
        block_in_place(|| match self {
            Self::Cluster(cluster) => cluster.replica_of(primary),
            Self::Sentinels(sentinels) => {
                let other = |server: &&Redis| server.endpoint() != primary.endpoint();
                sentinels.servers().iter().find(other).unwrap_or(&sentinels.servers()[0])
            }
        })
    }

    fn primaries(&self) -> Vec<&Redis> {
        match self {
            Self::Cluster(cluster) => cluster.primaries(),
            Self::Sentinels(sentinels) => {
                let endpoint = sentinels.primary_endpoint();
                sentinels
                    .servers()
                    .iter()
                    .filter(|server| server.is_up() && Some(server.endpoint()) == endpoint)
                    .collect()
            }
        }
    }

    fn all(&self) -> Vec<&Redis> {
        match self {
            Self::Cluster(cluster) => cluster.members().iter().collect(),
            Self::Sentinels(sentinels) => sentinels.servers().iter().chain(sentinels.sentinels()).collect(),
        }
    }
}

fn one_of<T>(all: &[T], choice: u64) -> &T {
    let count = u64::try_from(all.len()).unwrap_or(1).max(1);
    &all[usize::try_from(choice % count).unwrap_or(0)]
}
