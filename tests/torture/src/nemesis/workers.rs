//! The faults of the workers and of their network, which every store has.

use std::time::Duration;

use support::proxy::Mode;
use tokio::time::sleep;

use super::log::FaultLog;
use super::store::{Kind, Store};
use crate::history::{EventKind, Scope};
use crate::random::Random;
use crate::workers::{WORKERS, Workers};

/// How long a worker has to acquire a long lock before it is silenced: one that holds nothing then shows nothing.
const ACQUIRE_BEFORE: Duration = Duration::from_millis(1_500);

/// A fault of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9 of a worker, and another process in its place.
    KillWorker(usize),
    /// SIGSTOP, SIGCONT.
    PauseWorker(usize),
    /// Its connections to all members misbehave.
    CutWorker(usize, Mode),
    /// Its connections to one member are not answered.
    HalfOpen(usize, usize),
    /// Every thread of its application's runtime is blocked.
    BlockWorker(usize),
    /// Everything that it holds or waits for is taken from it in the store, by another client.
    Revoke(usize),
}

impl Fault {
    /// One fault of each kind that is possible on this store.
    pub(super) fn deck(random: &mut Random, store: Kind) -> Vec<Self> {
        let count = u64::try_from(WORKERS).unwrap_or(1);
        let workers: Vec<usize> = (0..13).map(|_| usize::try_from(random.between(0, count)).unwrap_or(0)).collect();
        // The most important fault, for each of them.
        let silenced = (0..WORKERS).map(|worker| Self::CutWorker(worker, Mode::Silent));
        let others = [
            Self::KillWorker(workers[0]),
            Self::PauseWorker(workers[1]),
            Self::CutWorker(workers[4], Mode::Unanswered),
            Self::CutWorker(workers[5], Mode::Refuse),
            Self::CutWorker(workers[6], Mode::Delay(random.millis(20, 700))),
            Self::HalfOpen(workers[7], usize::try_from(random.between(0, 3)).unwrap_or(0)),
            Self::BlockWorker(workers[8]),
            Self::Revoke(workers[9]),
            // Of a response, of several, of more than a watch begins with.
            Self::CutWorker(workers[10], Mode::CutAnswers(bytes(random, 40, 2_000))),
            Self::CutWorker(workers[11], Mode::CutRequests(bytes(random, 100, 4_000))),
            Self::CutWorker(workers[12], Mode::Trickle(bytes(random, 1, 64))),
        ];
        silenced.chain(others).filter(|fault| fault.is_possible(store)).collect()
    }

    fn is_possible(self, store: Kind) -> bool {
        match self {
            Self::CutWorker(..) | Self::HalfOpen(..) => store.has_network(),
            Self::Revoke(_) => store.is_local(),
            Self::KillWorker(_) | Self::PauseWorker(_) | Self::BlockWorker(_) => true,
        }
    }

    pub(super) fn length(self, random: &mut Random) -> Duration {
        match self {
            Self::CutWorker(_, Mode::Silent) => silence(random),
            Self::Revoke(_) => Duration::from_millis(1),
            Self::CutWorker(_, Mode::Delay(_) | Mode::Trickle(_)) => random.millis(2_000, 5_000),
            _ => random.millis(1_000, 7_000),
        }
    }

    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::KillWorker(_) => "worker killed",
            Self::PauseWorker(_) => "worker paused",
            Self::CutWorker(_, Mode::Delay(_)) => "slow worker",
            Self::CutWorker(_, Mode::Unanswered) => "worker unanswered",
            Self::CutWorker(_, Mode::CutAnswers(_)) => "responses lost",
            Self::CutWorker(_, Mode::CutRequests(_)) => "requests cut in the middle",
            Self::CutWorker(_, Mode::Trickle(_)) => "trickling connections",
            Self::CutWorker(..) => "worker cut off",
            Self::HalfOpen(..) => "half-open connections",
            Self::BlockWorker(_) => "runtime blocked",
            Self::Revoke(_) => "lease revoked",
        }
    }

    fn worker(self) -> usize {
        match self {
            Self::KillWorker(worker)
            | Self::PauseWorker(worker)
            | Self::CutWorker(worker, _)
            | Self::HalfOpen(worker, _)
            | Self::BlockWorker(worker)
            | Self::Revoke(worker) => worker,
        }
    }
}

/// Longer than a TTL, after the time that it takes to acquire something.
fn silence(random: &mut Random) -> Duration {
    ACQUIRE_BEFORE + random.millis(3_500, 7_000)
}

fn bytes(random: &mut Random, least: u64, end: u64) -> usize {
    usize::try_from(random.between(least, end)).unwrap_or(usize::MAX)
}

/// Injects the fault, and returns when it is over.
pub(super) async fn inject(fault: Fault, length: Duration, workers: &Workers, store: &Store, log: &FaultLog) {
    let worker = fault.worker();
    let (name, named) = (workers.name(worker), super::Fault::Worker(fault));
    let scope = Scope::Worker(name.clone());
    let route = Scope::Route(workers.route(worker).to_owned());
    match fault {
        Fault::KillWorker(_) => {
            let number = log.begin(named, scope);
            let generation = workers.kill(worker);
            log.0.record(EventKind::WorkerDied { process: name });
            sleep(length).await;
            workers.replace(worker, generation);
            log.end(number);
        }
        Fault::PauseWorker(_) => {
            let number = log.begin(named, scope);
            workers.with(worker, |child| child.pause());
            sleep(length).await;
            workers.with(worker, |child| child.resume());
            log.end(number);
        }
        Fault::CutWorker(_, mode) => {
            let length = if mode == Mode::Silent { let_it_hold(worker, length, workers).await } else { length };
            let proxies = workers.proxies(worker).iter().map(|proxy| (proxy, mode)).collect();
            log.degrade(named, route, length, proxies).await;
        }
        Fault::HalfOpen(_, member) => {
            let proxy = workers.proxies(worker).iter().cycle().nth(member);
            let proxy = proxy.map(|proxy| (proxy, Mode::Unanswered));
            log.degrade(named, route, length, proxy.into_iter().collect()).await;
        }
        Fault::BlockWorker(_) => {
            let number = log.begin(named, scope);
            workers.with(worker, |child| child.try_say(&format!("block {}", length.as_millis())));
            sleep(length).await;
            log.end(number);
        }
        Fault::Revoke(_) => {
            let number = log.begin(named, Scope::Revocation(name));
            store.revoke(workers.pid(worker)).await;
            log.end(number);
        }
    }
}

/// Lets the worker's long bodies outlast the fault of this length that is about to begin, and gives it the time to acquire
/// something. Returns the rest of the length.
async fn let_it_hold(worker: usize, length: Duration, workers: &Workers) -> Duration {
    workers.with(worker, |child| child.try_say(&format!("outlast {}", length.as_millis())));
    sleep(ACQUIRE_BEFORE).await;
    length.saturating_sub(ACQUIRE_BEFORE)
}
