//! Which faults begin when, and how long they last: all of it depends on the seed alone.

use std::time::Duration;

use support::proxy::Mode;

use super::fault::{Fault, Member};
use crate::clock::nanos;
use crate::random::Random;
use crate::workers::WORKERS;

/// A fault at its time, counted from the beginning of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// When it begins.
    pub at: Duration,
    /// For how long it is in effect.
    pub length: Duration,
    /// The fault.
    pub fault: Fault,
}

/// Two tracks of faults, which run beside each other: one for the members, one for the workers. In each track one fault
/// follows the other. Each kind comes once before any kind comes again, in random order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule(pub Vec<Vec<Step>>);

/// The kinds of stores, by the faults that can be injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// A cluster that the torture has started: every fault.
    LocalCluster,
    /// A server that somebody else has started: faults of the workers and of the network between them and it.
    Remote,
    /// Files: faults of the workers only.
    Directory,
}

/// A cycle begins with faults of members and workers, goes on with faults of workers only, and ends with no faults, so
/// that everything has to recover with nothing to excuse it.
const CYCLE: Duration = Duration::from_secs(60);
const MEMBERS_UNTIL: Duration = Duration::from_secs(32);
const WORKERS_UNTIL: Duration = Duration::from_secs(46);

/// No fault is in effect in the last part of a run.
pub const LAST: Duration = Duration::from_secs(10);

impl Schedule {
    /// For a run of this length on a store of this kind.
    #[must_use]
    pub fn new(seed: u64, length: Duration, store: StoreKind) -> Self {
        let is_local_cluster = store == StoreKind::LocalCluster;
        let track = |name, until, kinds: fn(&mut Random) -> Vec<Fault>| {
            track(Random::new(seed, name), length, until, |random| {
                let mut faults = kinds(random);
                faults.retain(|fault| is_local_cluster || !fault.needs_cluster());
                faults.retain(|fault| store != StoreKind::Directory || !fault.needs_network());
                random.shuffle(&mut faults);
                faults
            })
        };
        let mut tracks = vec![track("workers", WORKERS_UNTIL, worker_faults)];
        if is_local_cluster {
            tracks.push(track("members", MEMBERS_UNTIL, member_faults));
        }
        Self(tracks)
    }
}

/// The faults of one track; `kinds` returns one fault of each kind, in random order.
fn track(
    mut random: Random,
    length: Duration,
    until: Duration,
    kinds: impl Fn(&mut Random) -> Vec<Fault>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut remaining = Vec::new();
    let mut at = random.millis(1_000, 3_000);
    loop {
        let Some(fault) = remaining.pop() else {
            remaining = kinds(&mut random);
            continue;
        };
        let fault_length = length_of(fault, &mut random);
        let in_cycle = |at: Duration| Duration::from_nanos(nanos(at) % nanos(CYCLE));
        if in_cycle(at) + fault_length > until {
            at += CYCLE - in_cycle(at);
        }
        if at + fault_length > length.saturating_sub(LAST) {
            return steps;
        }
        steps.push(Step { at, length: fault_length, fault });
        at += fault_length + random.millis(300, 2_000);
    }
}

/// The TTL is 3 s: some faults are over before anything lapses, others long after.
fn length_of(fault: Fault, random: &mut Random) -> Duration {
    match fault {
        Fault::CutWorker(_, Mode::Silent) => random.millis(3_500, 7_000),
        Fault::Compact | Fault::Defragment => random.millis(1_000, 3_000),
        Fault::Revoke(_) => Duration::from_millis(1),
        Fault::SlowMember(..) | Fault::CutWorker(_, Mode::Delay(_)) => random.millis(2_000, 5_000),
        _ => random.millis(1_000, 7_000),
    }
}

fn member_faults(random: &mut Random) -> Vec<Fault> {
    let mut follower = || Member::Follower(usize::from(random.percent(50)));
    let (killed, paused, cut, slow) = (follower(), follower(), follower(), follower());
    let half = if random.percent(50) { Member::Leader } else { Member::Follower(0) };
    vec![
        Fault::KillMember(Member::Leader),
        Fault::KillMember(killed),
        Fault::PauseMember(Member::Leader),
        Fault::PauseMember(paused),
        Fault::PauseFollowers,
        Fault::CutMember(Member::Leader, Mode::Silent),
        Fault::CutMember(cut, *random.one_of(&[Mode::Silent, Mode::Refuse])),
        Fault::HalfCutMember(half),
        Fault::SlowMember(slow, random.millis(20, 200)),
        Fault::Compact,
        Fault::Defragment,
    ]
}

fn worker_faults(random: &mut Random) -> Vec<Fault> {
    let count = u64::try_from(WORKERS).unwrap_or(1);
    let mut any = || usize::try_from(random.between(0, count)).unwrap_or(0);
    let workers: Vec<usize> = (0..10).map(|_| any()).collect();
    // The most important fault, for each of them.
    let silenced = (0..WORKERS).map(|worker| Fault::CutWorker(worker, Mode::Silent));
    let others = [
        Fault::KillWorker(workers[0]),
        Fault::PauseWorker(workers[1]),
        Fault::CutWorker(workers[4], Mode::Unanswered),
        Fault::CutWorker(workers[5], Mode::Refuse),
        Fault::CutWorker(workers[6], Mode::Delay(random.millis(20, 700))),
        Fault::HalfOpen(workers[7], usize::try_from(random.between(0, 3)).unwrap_or(0)),
        Fault::BlockWorker(workers[8]),
        Fault::Revoke(workers[9]),
    ];
    silenced.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_decides_everything() {
        let schedule = |seed| Schedule::new(seed, Duration::from_secs(180), StoreKind::LocalCluster);
        assert_eq!(schedule(7), schedule(7));
        assert_ne!(schedule(7), schedule(8));
    }

    #[test]
    fn three_minutes_have_every_kind_and_times_without_faults() {
        for seed in 0..200 {
            let Schedule(tracks) = Schedule::new(seed, Duration::from_secs(180), StoreKind::LocalCluster);
            let kinds: BTreeSet<_> = tracks.iter().flatten().map(|step| step.fault.kind()).collect();
            assert_eq!(kinds.len(), 19, "seed {seed}: {kinds:?}");
            for step in tracks.iter().flatten() {
                let end = (step.at + step.length).as_secs_f64() % CYCLE.as_secs_f64();
                assert!(end <= WORKERS_UNTIL.as_secs_f64() + 0.001, "seed {seed}: {step:?}");
            }
            for track in &tracks {
                assert!(track.windows(2).all(|pair| pair[0].at + pair[0].length < pair[1].at), "seed {seed}");
            }
        }
    }

    #[test]
    fn other_stores_have_faults_of_workers_only() {
        let Schedule(tracks) = Schedule::new(1, Duration::from_secs(180), StoreKind::Remote);
        assert!(tracks.iter().flatten().all(|step| !step.fault.needs_cluster()));
        assert!(tracks[0].len() > 10);
        let Schedule(tracks) = Schedule::new(1, Duration::from_secs(180), StoreKind::Directory);
        assert!(tracks[0].iter().all(|step| !step.fault.needs_network()));
    }
}
