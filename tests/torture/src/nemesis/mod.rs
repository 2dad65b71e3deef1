//! Breaks everything around the lock, as the plan says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use support::proxy::{Mode, Proxy};
use tokio::time::{Instant, sleep, sleep_until};

use crate::crew::Crew;
use crate::direct::Direct;
use crate::history::{Recorder, Scope, What};

pub mod fault;
pub mod plan;

use fault::{Fault, Member};
use plan::{Plan, Step};
use support::etcd::Cluster;

/// What the nemesis can reach.
#[derive(Debug)]
pub struct Stage {
    /// A cluster of ours, if the store is one.
    pub cluster: Option<OurCluster>,
    /// The workers.
    pub crew: Crew,
    /// Where it tells what it does.
    pub recorder: Recorder,
}

/// Three members, and a way to each that nothing cuts.
#[derive(Debug)]
pub struct OurCluster {
    /// The members.
    pub cluster: Cluster,
    /// The way.
    pub direct: Direct,
}

/// How long after it woke up an old leader may still act on what it believes.
const OLD_LEADER: Duration = Duration::from_secs(1);

/// Does what the plan says, and returns when the last fault is over.
pub async fn rage(stage: &Arc<Stage>, plan: Plan) {
    let start = Instant::now();
    let lanes = plan.0.into_iter().map(|lane| {
        let stage = stage.clone();
        tokio::spawn(async move {
            for step in lane {
                sleep_until(start + step.at).await;
                stage.perform(step).await;
            }
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        // A panic in there is one of the torture's own.
        if let Err(ended) = lane.await {
            std::panic::resume_unwind(ended.into_panic());
        }
    }
}

impl Stage {
    async fn perform(&self, step: Step) {
        let Step { lasting, fault, .. } = step;
        match fault {
            Fault::KillWorker(worker) => self.kill_worker(worker, lasting, fault).await,
            Fault::PauseWorker(worker) => {
                let over = self.begin(fault, Scope::Worker(self.crew.name(worker)));
                self.crew.with(worker, |child| child.pause());
                sleep(lasting).await;
                self.crew.with(worker, |child| child.resume());
                self.end(over);
            }
            Fault::CutWorker(worker, mode) => {
                let scope = Scope::Worker(self.crew.name(worker));
                self.bend(fault, scope, lasting, self.crew.ways(worker).iter().map(|way| (way, mode)).collect()).await;
            }
            Fault::HalfOpen(worker, member) => {
                let scope = Scope::Worker(self.crew.name(worker));
                let way = self.crew.ways(worker).iter().cycle().nth(member).map(|way| (way, Mode::Unanswered));
                self.bend(fault, scope, lasting, way.into_iter().collect()).await;
            }
            Fault::BlockWorker(worker) => {
                let over = self.begin(fault, Scope::Worker(self.crew.name(worker)));
                self.crew.with(worker, |child| child.say(&format!("block {}", lasting.as_millis())));
                sleep(lasting).await;
                self.end(over);
            }
            Fault::Revoke(worker) => self.revoke(worker, fault).await,
            Fault::Compact | Fault::Defragment => self.wear(lasting, fault).await,
            Fault::PauseFollowers => {
                if let Some(ours) = &self.cluster {
                    self.pause_followers(&ours.cluster, lasting, fault).await;
                }
            }
            Fault::KillMember(member)
            | Fault::PauseMember(member)
            | Fault::CutMember(member, _)
            | Fault::HalfCutMember(member)
            | Fault::SlowMember(member, _) => {
                if let Some(ours) = &self.cluster {
                    self.harm(&ours.cluster, number_of(&ours.cluster, member).await, lasting, fault).await;
                }
            }
        }
    }

    async fn kill_worker(&self, worker: usize, lasting: Duration, fault: Fault) {
        let name = self.crew.name(worker);
        let over = self.begin(fault, Scope::Worker(name.clone()));
        self.crew.with(worker, |child| child.kill());
        self.recorder.record(What::Died { process: name });
        sleep(lasting).await;
        self.crew.replace(worker);
        self.end(over);
    }

    async fn harm(&self, cluster: &Cluster, number: usize, lasting: Duration, fault: Fault) {
        let (member, links) = (cluster.member(number), cluster.links());
        match fault {
            Fault::KillMember(_) => {
                let over = self.begin(fault, Scope::Store);
                member.kill();
                sleep(lasting).await;
                member.launch();
                self.end(over);
            }
            Fault::PauseMember(role) => {
                let over = self.begin(fault, Scope::Store);
                member.pause();
                sleep(lasting).await;
                let old = (role == Member::Leader).then(|| self.begin(fault, Scope::OldLeader));
                member.resume();
                self.end(over);
                if let Some(old) = old {
                    sleep(OLD_LEADER).await;
                    self.end(old);
                }
            }
            Fault::CutMember(_, mode) => {
                self.bend(fault, Scope::Store, lasting, links.of(number).map(|way| (way, mode)).collect()).await;
            }
            Fault::HalfCutMember(_) => {
                let others = (0..cluster.members().len()).filter(|other| *other != number);
                let ways = others.map(|other| (links.way(number, other), Mode::Unanswered)).collect();
                self.bend(fault, Scope::Store, lasting, ways).await;
            }
            Fault::SlowMember(_, delay) => {
                let ways = links.of(number).map(|way| (way, Mode::Delay(delay))).collect();
                self.bend(fault, Scope::Store, lasting, ways).await;
            }
            _ => {}
        }
    }

    async fn pause_followers(&self, cluster: &Cluster, lasting: Duration, fault: Fault) {
        let leader = number_of(cluster, Member::Leader).await;
        let all = cluster.members().iter().enumerate();
        let followers: Vec<_> = all.filter(|(number, _)| *number != leader).map(|(_, member)| member).collect();
        let over = self.begin(fault, Scope::Store);
        followers.iter().for_each(|member| member.pause());
        sleep(lasting).await;
        followers.iter().for_each(|member| member.resume());
        self.end(over);
    }

    /// Puts ways into a mode, for a time.
    async fn bend(&self, fault: Fault, scope: Scope, lasting: Duration, ways: Vec<(&Proxy, Mode)>) {
        let over = self.begin(fault, scope);
        ways.iter().for_each(|(way, mode)| way.set(*mode));
        sleep(lasting).await;
        ways.iter().for_each(|(way, _)| way.set(Mode::Pass));
        self.end(over);
    }

    async fn wear(&self, lasting: Duration, fault: Fault) {
        let Some(ours) = &self.cluster else { return };
        let over = self.begin(fault, Scope::Load);
        let until = Instant::now() + lasting;
        while Instant::now() < until {
            match fault {
                Fault::Compact => ours.direct.compact().await,
                _ => ours.direct.defragment().await,
            }
            sleep(Duration::from_millis(100)).await;
        }
        self.end(over);
    }

    async fn revoke(&self, worker: usize, fault: Fault) {
        let Some(ours) = &self.cluster else { return };
        let over = self.begin(fault, Scope::Revocation(self.crew.name(worker)));
        ours.direct.revoke_all_of(self.crew.pid(worker)).await;
        self.end(over);
    }

    fn begin(&self, fault: Fault, scope: Scope) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.recorder.record(What::FaultBegins { fault: number, name: fault.to_string(), scope });
        number
    }

    fn end(&self, fault: u64) {
        self.recorder.record(What::FaultEnds { fault });
    }
}

/// The member that has this role, as soon as the cluster has a leader.
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
