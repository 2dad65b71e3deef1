//! An etcd cluster of three members, with a network between them that can be cut, and its faults.

use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use support::etcd::{Binary, Cluster, Etcd, Setup};
use support::proxy::Mode;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};

use super::log::FaultLog;
use crate::history::Scope;

pub mod admin;
pub mod fault;
mod membership;
mod replaced;
mod retries;
mod roll;
mod space;
mod users;

use admin::Admin;
pub use fault::{Fault, Member};
use roll::Roll;

/// A cluster that the torture has started, and connections to it that no fault affects.
#[derive(Debug)]
pub struct EtcdCluster {
    cluster: Cluster,
    /// The connections.
    pub admin: Admin,
    /// How many members were replaced: their names are new.
    replaced: AtomicU64,
    /// How often the whole cluster was given another identity.
    identity: AtomicU64,
    /// The way through the versions of etcd.
    roll: Mutex<Roll>,
}

/// For how long after it was resumed a leader may still act on its outdated view.
const OLD_LEADER: Duration = Duration::from_secs(1);

/// How many bytes a member may have: little, so that they are soon used up, and much more than the locks need between two
/// compactions.
const QUOTA: u64 = 32 << 20;

/// For how long it keeps its history.
const HISTORY: &str = "--auto-compaction-retention=1m";

/// After how many entries a member makes a snapshot of its log. A member that runs etcd 3.7 is not to find entries of 3.5
/// in its log, on which it may panic.
const SNAPSHOT_COUNT: u64 = 1_000;

impl EtcdCluster {
    /// Starts the cluster; with users, or open to everybody.
    ///
    /// # Errors
    ///
    /// If it cannot be reached.
    pub async fn start(binary: &Binary, with_users: bool) -> io::Result<Self> {
        let flags = vec![format!("--snapshot-count={SNAPSHOT_COUNT}"), HISTORY.to_owned()];
        let users = with_users.then(users::workers);
        let setup = Setup { fast_election: true, links: true, quota: Some(QUOTA), users, flags, ..Setup::default() };
        let cluster = Cluster::start_with(binary, 3, &setup);
        let endpoints: Vec<String> = cluster.members().iter().map(Etcd::endpoint).collect();
        let admin = Admin::connect(&endpoints, with_users).await.map_err(io::Error::other)?;
        let (replaced, identity) = Default::default();
        Ok(Self { cluster, admin, replaced, identity, roll: Mutex::new(Roll::of(binary)) })
    }

    /// The URL of all members.
    #[must_use]
    pub fn url(&self) -> String {
        self.cluster.url()
    }

    /// Whether it has users.
    #[must_use]
    pub fn has_users(&self) -> bool {
        self.cluster.url().contains('@')
    }

    /// The members themselves.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The members' logs, which are deleted with them.
    pub fn logs(&self) -> impl Iterator<Item = &Path> {
        self.cluster.members().iter().map(|member| member.log())
    }

    /// A member that has ended by itself, with the end of its log, if there is one.
    pub(super) fn ended_by_itself(&self) -> Option<String> {
        let members = self.cluster.members().iter().enumerate();
        members.filter_map(|(number, member)| Some(format!("m{number}: {}", member.ended_by_itself()?))).next()
    }

    /// Injects the fault, and returns when it is over. Nothing happens where this machine lacks what the fault needs.
    pub async fn inject(&self, fault: Fault, length: Duration, log: &FaultLog) {
        match fault {
            Fault::Compact | Fault::Defragment => self.maintain(length, fault, log).await,
            Fault::PauseFollowers => self.pause_followers(length, log).await,
            Fault::FillUp => self.fill_up(length, log).await,
            Fault::Restore(renamed) => self.restore(renamed, length, log).await,
            Fault::Roll => self.roll(length, log).await,
            Fault::TakeRight | Fault::AuthenticationOff | Fault::ChangePassword => {
                self.change_users(fault, length, log).await;
            }
            Fault::WipeMember(member) | Fault::ReplaceMember(member) => {
                let number = self.number_of(member).await;
                self.exchange_member(number, length, fault, log).await;
            }
            Fault::Impostor(member) => {
                let number = self.number_of(member).await;
                self.impersonate(number, length, fault, log).await;
            }
            Fault::KillMember(member)
            | Fault::PauseMember(member)
            | Fault::CutMember(member, _)
            | Fault::HalfCutMember(member)
            | Fault::SlowMember(member, _)
            | Fault::SlowDisk(member, _) => {
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
            Fault::PauseMember(role) => return pause(member, role, length, named, log).await,
            Fault::SlowDisk(_, delay) => return slow_disk(member, delay, length, named, log).await,
            Fault::CutMember(_, mode) => links.of(number).map(|proxy| (proxy, mode)).collect(),
            Fault::HalfCutMember(_) => {
                let others = (0..self.cluster.members().len()).filter(|other| *other != number);
                others.map(|other| (links.way(number, other), Mode::Unanswered)).collect()
            }
            Fault::SlowMember(_, delay) => links.of(number).map(|proxy| (proxy, Mode::Delay(delay))).collect(),
            _ => return,
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
                _ => self.admin.defragment(Duration::from_secs(2)).await,
            }
            sleep(Duration::from_millis(100)).await;
        }
        log.end(number);
    }

    async fn fill_up(&self, length: Duration, log: &FaultLog) {
        let number = log.begin(super::Fault::Etcd(Fault::FillUp), Scope::Full);
        self.admin.fill_up().await;
        sleep(length).await;
        self.admin.make_room().await;
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

async fn pause(member: &Etcd, role: Member, length: Duration, named: super::Fault, log: &FaultLog) {
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
}

async fn slow_disk(member: &Etcd, delay: Duration, length: Duration, named: super::Fault, log: &FaultLog) {
    if !Etcd::can_slow_disk() {
        return;
    }
    let number = log.begin(named, Scope::Store);
    let slow = block_in_place(|| member.slow_disk(delay));
    sleep(length).await;
    block_in_place(|| drop(slow));
    log.end(number);
}
