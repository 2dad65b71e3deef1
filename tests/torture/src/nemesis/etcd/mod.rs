//! An etcd cluster of three members, with a network between them that can be cut, and its faults.

use std::io;
use std::path::Path;
use std::time::Duration;

use support::etcd::{Binary, Cluster, Etcd, Setup};
use support::proxy::Mode;
use tokio::time::{Instant, sleep};

use super::log::FaultLog;
use crate::history::Scope;

pub mod admin;
pub mod fault;

use admin::Admin;
pub use fault::{Fault, Member};

/// A cluster that the torture has started, and connections to it that no fault affects.
#[derive(Debug)]
pub struct EtcdCluster {
    cluster: Cluster,
    /// The connections.
    pub admin: Admin,
}

/// For how long after it was resumed a leader may still act on its outdated view.
const OLD_LEADER: Duration = Duration::from_secs(1);

impl EtcdCluster {
    /// Starts the cluster.
    ///
    /// # Errors
    ///
    /// If it cannot be reached.
    pub async fn start(binary: &Binary) -> io::Result<Self> {
        let setup = Setup { fast_election: true, links: true, ..Setup::default() };
        let cluster = Cluster::start_with(binary, 3, &setup);
        let endpoints: Vec<String> = cluster.members().iter().map(Etcd::endpoint).collect();
        let admin = Admin::connect(&endpoints).await.map_err(io::Error::other)?;
        Ok(Self { cluster, admin })
    }

    /// The URL of all members.
    #[must_use]
    pub fn url(&self) -> String {
        self.cluster.url()
    }

    /// The members' logs, which are deleted with them.
    pub fn logs(&self) -> impl Iterator<Item = &Path> {
        self.cluster.members().iter().map(|member| member.log())
    }

    /// Injects the fault, and returns when it is over.
    pub(super) async fn inject(&self, fault: Fault, length: Duration, log: &FaultLog) {
        match fault {
            Fault::Compact | Fault::Defragment => self.maintain(length, fault, log).await,
            Fault::PauseFollowers => self.pause_followers(length, log).await,
            Fault::KillMember(member)
            | Fault::PauseMember(member)
            | Fault::CutMember(member, _)
            | Fault::HalfCutMember(member)
            | Fault::SlowMember(member, _) => {
                let number = self.number_of(member).await;
                self.disturb_member(number, length, fault, log).await;
            }
        }
    }

    async fn disturb_member(&self, number: usize, length: Duration, fault: Fault, log: &FaultLog) {
        let (member, links) = (self.cluster.member(number), self.cluster.links());
        let named = super::Fault::Etcd(fault);
        let proxies = match fault {
            Fault::KillMember(_) => {
                let number = log.begin(named, Scope::Store);
                member.kill();
                sleep(length).await;
                member.launch();
                return log.end(number);
            }
            Fault::PauseMember(role) => {
                let number = log.begin(named, Scope::Store);
                member.pause();
                sleep(length).await;
                let old_leader = (role == Member::Leader).then(|| log.begin(named, Scope::OldLeader));
                member.resume();
                log.end(number);
                if let Some(number) = old_leader {
                    sleep(OLD_LEADER).await;
                    log.end(number);
                }
                return;
            }
            Fault::CutMember(_, mode) => links.of(number).map(|proxy| (proxy, mode)).collect(),
            Fault::HalfCutMember(_) => {
                let others = (0..self.cluster.members().len()).filter(|other| *other != number);
                others.map(|other| (links.way(number, other), Mode::Unanswered)).collect()
            }
            Fault::SlowMember(_, delay) => links.of(number).map(|proxy| (proxy, Mode::Delay(delay))).collect(),
            Fault::PauseFollowers | Fault::Compact | Fault::Defragment => return,
        };
        log.degrade(named, Scope::Store, length, proxies).await;
    }

    async fn pause_followers(&self, length: Duration, log: &FaultLog) {
        let leader = self.number_of(Member::Leader).await;
        let all = self.cluster.members().iter().enumerate();
        let followers: Vec<_> = all.filter(|(number, _)| *number != leader).map(|(_, member)| member).collect();
        let number = log.begin(super::Fault::Etcd(Fault::PauseFollowers), Scope::Store);
        followers.iter().for_each(|member| member.pause());
        sleep(length).await;
        followers.iter().for_each(|member| member.resume());
        log.end(number);
    }

    async fn maintain(&self, length: Duration, fault: Fault, log: &FaultLog) {
        let number = log.begin(super::Fault::Etcd(fault), Scope::Load);
        let until = Instant::now() + length;
        while Instant::now() < until {
            match fault {
                Fault::Compact => self.admin.compact().await,
                _ => self.admin.defragment().await,
            }
            sleep(Duration::from_millis(100)).await;
        }
        log.end(number);
    }

    /// The number of the member with this role, as soon as the cluster has a leader.
    async fn number_of(&self, member: Member) -> usize {
        let leader = loop {
            match self.cluster.leader() {
                Some(leader) => break leader,
                None => sleep(Duration::from_millis(50)).await,
            }
        };
        let followers: Vec<usize> = (0..self.cluster.members().len()).filter(|number| *number != leader).collect();
        match member {
            Member::Leader => leader,
            Member::Follower(number) => followers[number % followers.len()],
        }
    }
}
