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
            self.allow_downgrade(version).await;
            self.reach(version).await;
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
        loop {
            let lines: Vec<_> = self.cluster.members().iter().map(|member| member.cluster_line()).collect();
            if lines.iter().all(|line| line.as_deref() == Some(version.line())) {
                return;
            }
            retries.after(format!("the members agree on {lines:?}, not {}", version.line())).await;
        }
    }

    async fn allow_downgrade(&self, to: &Binary) {
        let retries = Retries::begin();
        for member in self.cluster.members().iter().cycle() {
            match block_in_place(|| member.allow_downgrade(to)) {
                Err(refusal) if !refusal.to_string().contains("in progress") => retries.after(refusal).await,
                _ => return,
            }
        }
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
