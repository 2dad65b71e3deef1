//! Several members that elect a leader.

use std::time::Duration;

use super::{Binary, Etcd, Links, START_TRIES, Setup, join_urls};

/// An etcd cluster on this machine. The members are killed by `Drop`.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Etcd>,
    links: Option<Links>,
}

impl Cluster {
    /// Starts so many members with a fast election and waits until all of them answer.
    pub fn start(binary: &Binary, size: usize) -> Cluster {
        Cluster::start_with(binary, size, &Setup { fast_election: true, ..Setup::default() })
    }

    /// As [`start`](Cluster::start), otherwise set up.
    ///
    /// # Panics
    ///
    /// If it does not come up, with the end of a member's log.
    pub fn start_with(binary: &Binary, size: usize, setup: &Setup) -> Cluster {
        let (members, links) = Etcd::start_members(binary, size, setup, START_TRIES);
        Cluster { members, links }
    }

    /// The network between the members.
    ///
    /// # Panics
    ///
    /// Unless [`Setup::links`] asked for it.
    pub fn links(&self) -> &Links {
        self.links.as_ref().expect("a cluster that was set up with links")
    }

    /// All members, in a fixed order. Kill, pause and restart them one by one.
    pub fn members(&self) -> &[Etcd] {
        &self.members
    }

    /// The member of this number.
    pub fn member(&self, number: usize) -> &Etcd {
        &self.members[number]
    }

    /// The URL of the whole cluster for `Locks::connect`.
    pub fn url(&self) -> String {
        join_urls(&self.members)
    }

    /// The number of the member that leads, or `None` during an election.
    ///
    /// Members that are down or paused are not asked.
    pub fn leader(&self) -> Option<usize> {
        let leads =
            |member: &Etcd| member.try_metrics().is_some_and(|now| now.sum("etcd_server_is_leader", &[]) == 1.0);
        self.members.iter().position(|member| member.is_up() && leads(member))
    }

    /// The number of the member that leads, as soon as one does.
    pub async fn await_leader(&self) -> usize {
        crate::eventually(Duration::from_secs(15), async || self.leader().ok_or("no leader")).await
    }

    /// Kills all members and starts them again with their data.
    pub fn restart(&self) {
        self.members.iter().for_each(Etcd::kill);
        self.members.iter().for_each(Etcd::launch);
        self.members.iter().for_each(Etcd::await_ready);
    }
}
