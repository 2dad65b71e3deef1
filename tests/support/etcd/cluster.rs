//! Several members that elect a leader.

use super::{Binary, Etcd, Links, Setup};

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
    /// If it does not start, with the end of a member's log.
    pub fn start_with(binary: &Binary, size: usize, setup: &Setup) -> Cluster {
        let (members, links) = Etcd::start_members(binary, size, setup);
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
        let endpoints: Vec<String> = self.members.iter().map(Etcd::endpoint).collect();
        self.members[0].url_at(&endpoints.join(","))
    }

    /// The number of the member that leads, or `None` during an election.
    ///
    /// Members that are down or paused are not asked.
    pub fn leader(&self) -> Option<usize> {
        self.members.iter().position(Etcd::leads)
    }

    /// The number of the member that leads, as soon as one does.
    pub async fn await_leader(&self) -> usize {
        crate::eventually(async || self.leader().ok_or("no leader")).await
    }

    /// Kills all members and starts them again with their data.
    pub fn restart(&self) {
        self.members.iter().for_each(|member| member.kill());
        self.members.iter().for_each(|member| member.launch());
        self.members.iter().for_each(|member| member.await_ready());
    }
}
