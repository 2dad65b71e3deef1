//! Which faults begin when, and how long they last: all of it depends on the seed alone.

use std::time::Duration;

use super::fault::Fault;
use super::store::Kind;
use super::workers;
use crate::clock::nanos;
use crate::random::Random;

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

/// Two tracks of faults, which run beside each other: one for the store, one for the workers. In each track one fault
/// follows the other. Each kind comes once before any kind comes again, in random order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule(pub Vec<Vec<Step>>);

/// A cycle begins with faults of the store and of the workers, goes on with faults of workers only, and ends with no faults, so
/// that everything has to recover with nothing to excuse it.
const CYCLE: Duration = Duration::from_secs(60);
const STORE_UNTIL: Duration = Duration::from_secs(32);
const WORKERS_UNTIL: Duration = Duration::from_secs(46);

/// No fault is in effect in the last part of a run.
pub const LAST: Duration = Duration::from_secs(10);

impl Schedule {
    /// For a run of this length on a store of this kind.
    #[must_use]
    pub fn new(seed: u64, length: Duration, store: Kind) -> Self {
        let of_workers = track(Random::new(seed, "workers"), length, WORKERS_UNTIL, |random| {
            workers::Fault::deck(random, store).into_iter().map(Fault::Worker).collect()
        });
        let of_store = track(Random::new(seed, "members"), length, STORE_UNTIL, |random| store.deck(random));
        Self(vec![of_workers, of_store])
    }
}

/// The faults of one track; `deck` returns one fault of each kind.
fn track(mut random: Random, length: Duration, until: Duration, deck: impl Fn(&mut Random) -> Vec<Fault>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut remaining = Vec::new();
    let mut at = random.millis(1_000, 3_000);
    loop {
        if remaining.is_empty() {
            remaining = deck(&mut random);
            random.shuffle(&mut remaining);
        }
        let Some(fault) = remaining.pop() else { return steps };
        let fault_length = fault.length(&mut random);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn kinds(track: &[Step]) -> BTreeSet<&'static str> {
        track.iter().map(|step| step.fault.kind()).collect()
    }

    #[test]
    fn a_seed_decides_everything() {
        for store in Kind::EACH {
            let schedule = |seed| Schedule::new(seed, Duration::from_secs(180), store);
            assert_eq!(schedule(7), schedule(7));
            assert_ne!(schedule(7), schedule(8));
        }
    }

    /// The three workers that are silenced are of one kind.
    #[test]
    fn each_kind_comes_once_before_any_comes_again() {
        for (store, seed) in Kind::EACH.into_iter().flat_map(|store| (0..50).map(move |seed| (store, seed))) {
            let Schedule(tracks) = Schedule::new(seed, Duration::from_secs(1_800), store);
            for track in &tracks {
                let all = kinds(track);
                let round = all.len() + if all.contains("worker cut off") { 3 } else { 0 };
                for round in track.chunks_exact(round.max(1)) {
                    assert_eq!(kinds(round), all, "{store:?}, seed {seed}");
                }
            }
        }
    }

    #[test]
    fn every_store_has_times_without_faults_and_one_fault_after_the_other() {
        for (store, seed) in Kind::EACH.into_iter().flat_map(|store| (0..50).map(move |seed| (store, seed))) {
            let Schedule(tracks) = Schedule::new(seed, Duration::from_secs(180), store);
            for step in tracks.iter().flatten() {
                let end = (step.at + step.length).as_secs_f64() % CYCLE.as_secs_f64();
                assert!(end <= WORKERS_UNTIL.as_secs_f64() + 0.001, "{store:?}, seed {seed}: {step:?}");
            }
            for track in &tracks {
                assert!(
                    track.windows(2).all(|pair| pair[0].at + pair[0].length < pair[1].at),
                    "{store:?}, seed {seed}"
                );
            }
        }
    }

    #[test]
    fn three_minutes_of_etcd_have_every_kind() {
        for seed in 0..200 {
            let Schedule(tracks) = Schedule::new(seed, Duration::from_secs(180), Kind::Etcd);
            let kinds: BTreeSet<_> = tracks.iter().flat_map(|track| kinds(track)).collect();
            assert_eq!(kinds.len(), 19, "seed {seed}: {kinds:?}");
        }
    }

    #[test]
    fn stores_of_others_have_faults_of_workers_only() {
        let Schedule(tracks) = Schedule::new(1, Duration::from_secs(180), Kind::Remote);
        assert!(tracks.iter().flatten().all(|step| matches!(step.fault, Fault::Worker(_))));
        assert!(tracks[0].len() > 10);
        assert_eq!(kinds(&tracks[0]).len(), 7);
        let Schedule(tracks) = Schedule::new(1, Duration::from_secs(180), Kind::Directory);
        assert_eq!(kinds(&tracks[0]), BTreeSet::from(["runtime blocked", "worker killed", "worker paused"]));
    }
}
