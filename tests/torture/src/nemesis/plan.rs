//! When which fault begins, and for how long: all of it decided by the seed.

use std::time::Duration;

use support::proxy::Mode;

use super::fault::{Fault, Member};
use crate::crew::WORKERS;
use crate::random::Random;

/// A fault at its time, counted from the beginning of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// When it begins.
    pub at: Duration,
    /// For how long it is in force.
    pub lasting: Duration,
    /// What.
    pub fault: Fault,
}

/// Two lanes of faults, which run beside each other: one for the members, one for the workers. In each lane one fault
/// follows the other. Of each kind the deck has one; a deck is dealt to its end before the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan(pub Vec<Vec<Step>>);

/// What can be harmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// A cluster of ours: every member, and every way.
    Cluster,
    /// A server of somebody: the ways to it.
    Remote,
    /// A file: only who uses it.
    Local,
}

/// In a cycle there are faults, at last only of workers, and then none: everybody must find back, without an excuse.
const CYCLE: Duration = Duration::from_secs(60);
const MEMBERS_UNTIL: Duration = Duration::from_secs(32);
const WORKERS_UNTIL: Duration = Duration::from_secs(46);

/// No fault begins in the last part of a run.
pub const LAST: Duration = Duration::from_secs(10);

impl Plan {
    /// For a run of this length; without what the store is not there for.
    #[must_use]
    pub fn new(seed: u64, length: Duration, store: Store) -> Self {
        let cluster = store == Store::Cluster;
        let lane = |name, until, deck: fn(&mut Random) -> Vec<Fault>| {
            lane(Random::new(seed, name), length, until, |random| {
                let mut faults = deck(random);
                faults.retain(|fault| cluster || !fault.needs_cluster());
                faults.retain(|fault| store != Store::Local || !fault.needs_network());
                random.shuffle(&mut faults);
                faults
            })
        };
        let mut lanes = vec![lane("workers", WORKERS_UNTIL, workers_deck)];
        if cluster {
            lanes.push(lane("members", MEMBERS_UNTIL, members_deck));
        }
        Self(lanes)
    }
}

fn lane(mut random: Random, length: Duration, until: Duration, deck: impl Fn(&mut Random) -> Vec<Fault>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut cards = Vec::new();
    let mut at = random.millis(1_000, 3_000);
    loop {
        let Some(fault) = cards.pop() else {
            cards = deck(&mut random);
            continue;
        };
        let lasting = lasting(fault, &mut random);
        let in_cycle = |at: Duration| Duration::from_nanos(crate::clock::nanos(at) % crate::clock::nanos(CYCLE));
        if in_cycle(at) + lasting > until {
            at += CYCLE - in_cycle(at);
        }
        if at + lasting > length.saturating_sub(LAST) {
            return steps;
        }
        steps.push(Step { at, lasting, fault });
        at += lasting + random.millis(300, 2_000);
    }
}

/// TTLs are 3 s: some faults are over before anything lapses, some long after.
fn lasting(fault: Fault, random: &mut Random) -> Duration {
    match fault {
        Fault::CutWorker(_, Mode::Silent) => random.millis(3_500, 7_000),
        Fault::Compact | Fault::Defragment => random.millis(1_000, 3_000),
        Fault::Revoke(_) => Duration::from_millis(1),
        Fault::SlowMember(..) | Fault::CutWorker(_, Mode::Delay(_)) => random.millis(2_000, 5_000),
        _ => random.millis(1_000, 7_000),
    }
}

fn members_deck(random: &mut Random) -> Vec<Fault> {
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

fn workers_deck(random: &mut Random) -> Vec<Fault> {
    let count = u64::try_from(WORKERS).unwrap_or(1);
    let mut some = || usize::try_from(random.between(0, count)).unwrap_or(0);
    let workers: Vec<usize> = (0..10).map(|_| some()).collect();
    // The test that counts, for each of them.
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
        let plan = |seed| Plan::new(seed, Duration::from_secs(180), Store::Cluster);
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }

    #[test]
    fn three_minutes_have_every_kind_and_times_of_quiet() {
        for seed in 0..200 {
            let Plan(lanes) = Plan::new(seed, Duration::from_secs(180), Store::Cluster);
            let kinds: BTreeSet<_> = lanes.iter().flatten().map(|step| step.fault.kind()).collect();
            assert_eq!(kinds.len(), 19, "seed {seed}: {kinds:?}");
            for step in lanes.iter().flatten() {
                let end = (step.at + step.lasting).as_secs_f64() % CYCLE.as_secs_f64();
                assert!(end <= WORKERS_UNTIL.as_secs_f64() + 0.001, "seed {seed}: {step:?}");
            }
            for lane in &lanes {
                assert!(lane.windows(2).all(|pair| pair[0].at + pair[0].lasting < pair[1].at), "seed {seed}");
            }
        }
    }

    #[test]
    fn another_store_has_faults_of_workers_only() {
        let Plan(lanes) = Plan::new(1, Duration::from_secs(180), Store::Remote);
        assert!(lanes.iter().flatten().all(|step| !step.fault.needs_cluster()));
        assert!(lanes[0].len() > 10);
        let Plan(lanes) = Plan::new(1, Duration::from_secs(180), Store::Local);
        assert!(lanes[0].iter().all(|step| !step.fault.needs_network()));
    }
}
