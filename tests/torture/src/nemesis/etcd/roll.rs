//! From one version of etcd to the next while it is used, and back.

use std::sync::PoisonError;
use std::time::Duration;

use support::etcd::Binary;
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::retries::{Retries, ready};
use super::{EtcdCluster, Fault, Member};
use crate::history::Scope;
use crate::nemesis::log::FaultLog;

/// The versions between which a cluster goes back and forth.
#[derive(Debug)]
pub(super) struct Roll {
    versions: Vec<&'static Binary>,
    at: usize,
}

impl Roll {
    pub(super) fn of(binary: &Binary) -> Self {
        let versions = binary.roll();
        let at = versions.iter().position(|version| version.version() == binary.version());
        Self { versions, at: at.unwrap_or(0) }
    }

    /// The versions on the way to the newest; from the newest, to the oldest.
    fn next_way(&mut self) -> Vec<&'static Binary> {
        let last = self.versions.len().saturating_sub(1);
        let (way, end) = if self.at < last {
            (self.versions[self.at + 1..].to_vec(), last)
        } else {
            (self.versions[..self.at].iter().rev().copied().collect(), 0)
        };
        self.at = end;
        way
    }
}

impl EtcdCluster {
    /// Restarts all members with other versions. In `length`, or as long as that takes.
    pub(super) async fn roll(&self, length: Duration, log: &FaultLog) {
        let way = self.roll.lock().unwrap_or_else(PoisonError::into_inner).next_way();
        let steps = u32::try_from(way.len() * self.cluster.members().len()).unwrap_or(1);
        if steps == 0 {
            return;
        }
        let number = log.begin(crate::nemesis::Fault::Etcd(Fault::Roll), Scope::Store);
        for version in way {
            self.roll_to(version, length / steps).await;
        }
        log.end(number);
    }

    /// Restarts the members with this version, the leader last: each after a pause, and when the one before it is ready.
    async fn roll_to(&self, version: &Binary, pause: Duration) {
        let from = self.cluster.member(0).binary();
        if is_newer(version, &from) {
            self.reach(&from).await;
            self.leave_entries_behind().await;
        } else {
            self.go_back_to(version).await;
        }
        let leader = self.number_of(Member::Leader).await;
        let followers = (0..self.cluster.members().len()).filter(|number| *number != leader);
        for number in followers.chain([leader]) {
            sleep(pause).await;
            let member = self.cluster.member(number);
            member.kill();
            member.run_next(version);
            member.launch();
            ready(member).await;
        }
    }

    /// Waits until the members agree on this version.
    async fn reach(&self, version: &Binary) {
        let retries = Retries::begin();
        while let Err(seen) = self.agree_on(version) {
            retries.after(seen).await;
        }
    }

    /// Asks for the way back to this version until the members agree on it: a way back that has just been gone may still
    /// count as in progress.
    async fn go_back_to(&self, version: &Binary) {
        let retries = Retries::begin();
        for member in self.cluster.members().iter().cycle() {
            let Err(seen) = self.agree_on(version) else { return };
            let answer = block_in_place(|| member.allow_downgrade(version));
            retries.after(format!("{seen}; asked to go back: {answer:?}")).await;
        }
    }

    fn agree_on(&self, version: &Binary) -> Result<(), String> {
        let lines = || self.cluster.members().iter().map(|member| member.cluster_line()).collect::<Vec<_>>();
        let lines = block_in_place(lines);
        let agree = lines.iter().all(|line| line.as_deref() == Some(version.line()));
        if agree { Ok(()) } else { Err(format!("the members agree on {lines:?}, not {}", version.line())) }
    }

    /// Waits until each member has made a snapshot since this: etcd 3.7 may panic at its first start on entries of 3.5.
    async fn leave_entries_behind(&self) {
        let newest = || self.cluster.members().iter().map(|member| member.newest_snapshot()).collect::<Vec<_>>();
        let (before, retries) = (newest(), Retries::begin());
        loop {
            self.admin.write_noise(100).await;
            let now = newest();
            if now.iter().zip(&before).all(|(now, before)| now > before) {
                return;
            }
            retries.after(format!("the newest snapshots are {now:?}")).await;
        }
    }
}

fn is_newer(version: &Binary, than: &Binary) -> bool {
    let minor = |binary: &Binary| binary.line().split_once('.').and_then(|(_, minor)| minor.parse::<u32>().ok());
    minor(version) > minor(than)
}
