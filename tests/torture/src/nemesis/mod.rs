//! Injects the faults of a schedule.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use support::etcd::Cluster;
use support::proxy::{Mode, Proxy};
use tokio::time::{Instant, sleep, sleep_until};

use crate::admin::Admin;
use crate::history::{EventKind, Recorder, Scope};
use crate::workers::{WORKERS, Workers};

pub mod fault;
pub mod schedule;

use fault::{Fault, Member};
use schedule::{Schedule, Step};

/// What faults are injected into.
#[derive(Debug)]
pub struct Targets {
    /// The cluster, if the torture has started one.
    pub cluster: Option<LocalCluster>,
    /// The workers.
    pub workers: Workers,
    /// Where faults are recorded.
    pub recorder: Recorder,
}

/// A cluster that the torture has started, and connections to it that no fault affects.
#[derive(Debug)]
pub struct LocalCluster {
    /// The members.
    pub cluster: Cluster,
    /// The connections.
    pub admin: Admin,
}

/// For how long after it was resumed a leader may still act on its outdated view.
const OLD_LEADER: Duration = Duration::from_secs(1);

/// Injects all faults of the schedule, and returns when the last one is over.
pub async fn inject_all(targets: Arc<Targets>, schedule: Schedule) {
    let start = Instant::now();
    let tracks = schedule.0.into_iter().map(|track| {
        let targets = targets.clone();
        tokio::spawn(async move {
            for step in track {
                sleep_until(start + step.at).await;
                targets.inject(step).await;
            }
        })
    });
    for track in tracks.collect::<Vec<_>>() {
        // A panic of a track is a bug of the torture.
        if let Err(ended) = track.await {
            std::panic::resume_unwind(ended.into_panic());
        }
    }
}

impl Targets {
    async fn inject(&self, step: Step) {
        let Step { length, fault, .. } = step;
        match fault {
            Fault::KillWorker(worker) => self.kill_worker(worker, length, fault).await,
            Fault::PauseWorker(worker) => {
                let number = self.begin(fault, Scope::Worker(self.workers.name(worker)));
                self.workers.with(worker, |child| child.pause());
                sleep(length).await;
                self.workers.with(worker, |child| child.resume());
                self.end(number);
            }
            Fault::CutWorker(worker, mode) => {
                let scope = Scope::Worker(self.workers.name(worker));
                let proxies = self.workers.proxies(worker).iter().map(|proxy| (proxy, mode)).collect();
                self.degrade(fault, scope, length, proxies).await;
            }
            Fault::HalfOpen(worker, member) => {
                let scope = Scope::Worker(self.workers.name(worker));
                let proxy = self.workers.proxies(worker).iter().cycle().nth(member);
                let proxy = proxy.map(|proxy| (proxy, Mode::Unanswered));
                self.degrade(fault, scope, length, proxy.into_iter().collect()).await;
            }
            Fault::BlockWorker(worker) => {
                let number = self.begin(fault, Scope::Worker(self.workers.name(worker)));
                self.workers.with(worker, |child| child.say(&format!("block {}", length.as_millis())));
                sleep(length).await;
                self.end(number);
            }
            Fault::Revoke(worker) => self.revoke(worker, fault).await,
            Fault::Compact | Fault::Defragment => self.maintain(length, fault).await,
            Fault::PauseFollowers => {
                if let Some(local) = &self.cluster {
                    self.pause_followers(&local.cluster, length, fault).await;
                }
            }
            Fault::KillMember(member)
            | Fault::PauseMember(member)
            | Fault::CutMember(member, _)
            | Fault::HalfCutMember(member)
            | Fault::SlowMember(member, _) => {
                if let Some(local) = &self.cluster {
                    let number = number_of(&local.cluster, member).await;
                    self.disturb_member(&local.cluster, number, length, fault).await;
                }
            }
        }
    }

    /// Kills the processes of all workers.
    pub fn kill_workers(&self) {
        for worker in 0..WORKERS {
            self.workers.with(worker, |child| child.kill());
            self.recorder.record(EventKind::WorkerDied { process: self.workers.name(worker) });
        }
    }

    async fn kill_worker(&self, worker: usize, length: Duration, fault: Fault) {
        let name = self.workers.name(worker);
        let number = self.begin(fault, Scope::Worker(name.clone()));
        self.workers.with(worker, |child| child.kill());
        self.recorder.record(EventKind::WorkerDied { process: name });
        sleep(length).await;
        self.workers.replace(worker);
        self.end(number);
    }

    async fn disturb_member(&self, cluster: &Cluster, number: usize, length: Duration, fault: Fault) {
        let (member, links) = (cluster.member(number), cluster.links());
        match fault {
            Fault::KillMember(_) => {
                let number = self.begin(fault, Scope::Store);
                member.kill();
                sleep(length).await;
                member.launch();
                self.end(number);
            }
            Fault::PauseMember(role) => {
                let number = self.begin(fault, Scope::Store);
                member.pause();
                sleep(length).await;
                let old_leader = (role == Member::Leader).then(|| self.begin(fault, Scope::OldLeader));
                member.resume();
                self.end(number);
                if let Some(number) = old_leader {
                    sleep(OLD_LEADER).await;
                    self.end(number);
                }
            }
            Fault::CutMember(_, mode) => {
                let proxies = links.of(number).map(|proxy| (proxy, mode)).collect();
                self.degrade(fault, Scope::Store, length, proxies).await;
            }
            Fault::HalfCutMember(_) => {
                let others = (0..cluster.members().len()).filter(|other| *other != number);
                let proxies = others.map(|other| (links.way(number, other), Mode::Unanswered)).collect();
                self.degrade(fault, Scope::Store, length, proxies).await;
            }
            Fault::SlowMember(_, delay) => {
                let proxies = links.of(number).map(|proxy| (proxy, Mode::Delay(delay))).collect();
                self.degrade(fault, Scope::Store, length, proxies).await;
            }
            _ => {}
        }
    }

    async fn pause_followers(&self, cluster: &Cluster, length: Duration, fault: Fault) {
        let leader = number_of(cluster, Member::Leader).await;
        let all = cluster.members().iter().enumerate();
        let followers: Vec<_> = all.filter(|(number, _)| *number != leader).map(|(_, member)| member).collect();
        let number = self.begin(fault, Scope::Store);
        followers.iter().for_each(|member| member.pause());
        sleep(length).await;
        followers.iter().for_each(|member| member.resume());
        self.end(number);
    }

    /// Puts proxies into their modes, for a time.
    async fn degrade(&self, fault: Fault, scope: Scope, length: Duration, proxies: Vec<(&Proxy, Mode)>) {
        let number = self.begin(fault, scope);
        proxies.iter().for_each(|(proxy, mode)| proxy.set(*mode));
        sleep(length).await;
        proxies.iter().for_each(|(proxy, _)| proxy.set(Mode::Pass));
        self.end(number);
    }

    async fn maintain(&self, length: Duration, fault: Fault) {
        let Some(local) = &self.cluster else { return };
        let number = self.begin(fault, Scope::Load);
        let until = Instant::now() + length;
        while Instant::now() < until {
            match fault {
                Fault::Compact => local.admin.compact().await,
                _ => local.admin.defragment().await,
            }
            sleep(Duration::from_millis(100)).await;
        }
        self.end(number);
    }

    async fn revoke(&self, worker: usize, fault: Fault) {
        let Some(local) = &self.cluster else { return };
        let number = self.begin(fault, Scope::Revocation(self.workers.name(worker)));
        local.admin.revoke_leases_of(self.workers.pid(worker)).await;
        self.end(number);
    }

    /// Records that a fault begins, and returns its number.
    fn begin(&self, fault: Fault, scope: Scope) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.recorder.record(EventKind::FaultStarted { fault: number, name: fault.to_string(), scope });
        number
    }

    fn end(&self, fault: u64) {
        self.recorder.record(EventKind::FaultEnded { fault });
    }
}

/// The number of the member with this role, as soon as the cluster has a leader.
async fn number_of(cluster: &Cluster, member: Member) -> usize {
    let leader = loop {
        match cluster.leader() {
            Some(leader) => break leader,
            None => sleep(Duration::from_millis(50)).await,
        }
    };
    let followers: Vec<usize> = (0..cluster.members().len()).filter(|number| *number != leader).collect();
    match member {
        Member::Leader => leader,
        Member::Follower(number) => followers[number % followers.len()],
    }
}
