//! A ZooKeeper ensemble of three servers.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use support::Server;
use support::zookeeper::{Installed, Setup, ZooKeeper};
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::lasting;
use super::log::FaultLog;
use super::observer::Entry;
use crate::history::Scope;
use crate::workers::all_keys;

mod admin;
mod close;
pub mod fault;

use admin::Admin;
pub use fault::{Fault, Right};

/// The servers, and a client of them.
#[derive(Debug)]
pub struct Ensemble {
    servers: Vec<ZooKeeper>,
    keys: BTreeSet<String>,
    admin: Admin,
}

/// A TTL, in milliseconds: who holds what was forgotten finds out as its connection is closed, or at the deadline.
const NOTICED_WITHIN: u64 = 3_000;

impl Ensemble {
    /// Starts the servers.
    #[must_use]
    pub fn start(program: &Installed) -> Self {
        let servers = ZooKeeper::start_ensemble(program, 3, &Setup::default());
        let endpoints: Vec<String> = servers.iter().map(|server| server.endpoint()).collect();
        Self { admin: Admin::new(endpoints.join(",")), keys: all_keys(), servers }
    }

    /// The URL of all servers.
    #[must_use]
    pub fn url(&self) -> String {
        support::zookeeper::url(&self.servers)
    }

    /// The servers' logs.
    #[must_use]
    pub fn logs(&self) -> Vec<PathBuf> {
        self.servers.iter().map(|server| server.log().to_owned()).collect()
    }

    /// A server that has ended by itself, with the end of its log, if there is one.
    pub(super) fn ended_by_itself(&self) -> Option<String> {
        self.servers.iter().find_map(|server| server.ended_by_itself())
    }

    /// Everything that holds or waits.
    pub(super) async fn entries(&self) -> Option<Vec<Entry>> {
        self.admin.entries(&self.keys).await
    }

    /// Deletes every entry of the process with this number.
    pub(super) async fn revoke(&self, pid: u32) {
        self.admin.delete(&self.keys, pid).await;
    }

    /// The ephemeral nodes that are left. The nodes that paths are made of stay for a minute or two.
    pub(super) async fn left_behind(&self) -> Vec<String> {
        let leader = self.leader().await;
        block_in_place(|| self.servers[leader].left("/torture"))
    }

    /// Injects the fault, and returns when it is over.
    pub(super) async fn inject(&self, fault: Fault, length: Duration, log: &FaultLog) {
        let (named, affected) = (super::Fault::ZooKeeper(fault), self.affected(fault).await);
        if let Fault::Rights(lock, right) = fault {
            return self.take_rights(lock, right, length, log).await;
        }
        let number = log.begin(named, Scope::Store);
        match fault {
            Fault::SlowLeader(answers_after) => lasting::slow(affected[0], answers_after, length).await,
            Fault::CloseSessions => {
                let forgotten = log.begin(named, Scope::Forgotten(NOTICED_WITHIN));
                self.close_sessions(affected[0]).await;
                log.end(forgotten);
            }
            Fault::PauseLeader | Fault::PauseFollower(_) | Fault::PauseFollowers => {
                block_in_place(|| affected.iter().for_each(|server| server.pause()));
                sleep(length).await;
                block_in_place(|| affected.iter().for_each(|server| server.resume()));
            }
            Fault::WipeFollower(_) => {
                block_in_place(|| affected[0].kill());
                sleep(length).await;
                block_in_place(|| affected[0].forget_data());
                launch(&affected).await;
            }
            _ => {
                block_in_place(|| affected.iter().for_each(|server| server.kill()));
                sleep(length).await;
                launch(&affected).await;
            }
        }
        log.end(number);
    }

    /// The servers that a fault is of.
    async fn affected(&self, fault: Fault) -> Vec<&ZooKeeper> {
        let leader = self.leader().await;
        let followers: Vec<&ZooKeeper> =
            self.servers.iter().enumerate().filter(|(number, _)| *number != leader).map(|(_, server)| server).collect();
        match fault {
            Fault::KillFollower(number) | Fault::PauseFollower(number) | Fault::WipeFollower(number) => {
                vec![followers[number % followers.len()]]
            }
            Fault::PauseFollowers => followers,
            Fault::KillAll => self.servers.iter().collect(),
            _ => vec![&self.servers[leader]],
        }
    }

    async fn close_sessions(&self, leader: &ZooKeeper) {
        for session in self.admin.sessions(&self.keys).await {
            // It may have ended since.
            let _ = block_in_place(|| close::close(leader.address(), session));
        }
    }

    async fn take_rights(&self, lock: usize, right: Right, length: Duration, log: &FaultLog) {
        let Some(key) = self.keys.iter().cycle().nth(lock) else { return };
        let number = log.begin(super::Fault::ZooKeeper(Fault::Rights(lock, right)), Scope::Lock(key.clone()));
        self.admin.set_rights(key, Some(right)).await;
        sleep(length).await;
        self.admin.set_rights(key, None).await;
        log.end(number);
    }

    /// The number of the leader, as soon as there is one.
    async fn leader(&self) -> usize {
        loop {
            match block_in_place(|| self.servers.iter().position(ZooKeeper::leads)) {
                Some(leader) => return leader,
                None => sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

/// Starts the servers, and waits until they are members again, which takes a while on a busy machine.
async fn launch(servers: &[&ZooKeeper]) {
    block_in_place(|| servers.iter().for_each(|server| server.launch()));
    let serves = |server: &&ZooKeeper| server.command("srvr").is_some_and(|answer| answer.contains("Mode: "));
    while !block_in_place(|| servers.iter().all(serves)) {
        sleep(Duration::from_millis(100)).await;
    }
}
