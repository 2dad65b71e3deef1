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

/// In the beginning each worker is silenced in turn, on a store without faults, whose leases lapse in time: every broken lock
/// has to show there already.
const OPENING: Duration = Duration::from_secs(25);

/// After it, a cycle begins with faults of the store and of the workers, goes on with faults of workers only, and ends with
/// no faults, so that everything has to recover with nothing to excuse it.
const CYCLE: Duration = Duration::from_secs(60);
const STORE_UNTIL: Duration = Duration::from_secs(32);
const WORKERS_UNTIL: Duration = Duration::from_secs(46);

/// No fault is in effect in the last part of a run.
pub const LAST: Duration = Duration::from_secs(10);

impl Schedule {
    /// For a run of this length on a store of this kind.
    #[must_use]
    pub fn new(seed: u64, length: Duration, store: Kind) -> Self {
        let of_workers = track(Random::new(seed, "workers"), Duration::ZERO, length, WORKERS_UNTIL, |random| {
            workers::Fault::deck(random, store).into_iter().map(Fault::Worker).collect()
        });
        let of_store = track(Random::new(seed, "members"), OPENING, length, STORE_UNTIL, |random| store.deck(random));
        Self(vec![of_workers, of_store])
    }
}

/// The faults of one track, from `begin` on, in each cycle up to `until`; `deck` returns one fault of each kind.
fn track(
    mut random: Random,
    begin: Duration,
    length: Duration,
    until: Duration,
    deck: impl Fn(&mut Random) -> Vec<Fault>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut remaining = Vec::new();
    let mut at = begin + random.millis(1_000, 3_000);
    loop {
        if remaining.is_empty() {
            remaining = deck(&mut random);
            random.shuffle(&mut remaining);
            if steps.is_empty() {
                // They are dealt from the end.
                remaining.sort_by_key(|fault| fault.comes_first());
            }
        }
        let Some(fault) = remaining.pop() else { return steps };
        let fault_length = fault.length(&mut random);
        let in_cycle = |at: Duration| Duration::from_nanos(nanos(at.saturating_sub(OPENING)) % nanos(CYCLE));
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
    use crate::workers::WORKERS;
    use std::collections::BTreeSet;

    fn kinds(track: &[Step]) -> BTreeSet<&'static str> {
        track.iter().map(|step| step.fault.kind()).collect()
    }

    #[test]
    fn a_seed_decides_everything() {
        let schedule = |seed| Schedule::new(seed, Duration::from_secs(180), Kind::Etcd);
        assert_eq!(schedule(7), schedule(7));
        assert_ne!(schedule(7), schedule(8));
    }

    #[test]
    fn three_minutes_have_every_kind_and_times_without_faults() {
        for seed in 0..200 {
            let Schedule(tracks) = Schedule::new(seed, Duration::from_secs(180), Kind::Etcd);
            let kinds: BTreeSet<_> = tracks.iter().flatten().map(|step| step.fault.kind()).collect();
            assert_eq!(kinds.len(), 19, "seed {seed}: {kinds:?}");
            for step in tracks.iter().flatten() {
                let end = (step.at + step.length).saturating_sub(OPENING).as_secs_f64() % CYCLE.as_secs_f64();
                assert!(end <= WORKERS_UNTIL.as_secs_f64() + 0.001, "seed {seed}: {step:?}");
            }
            for track in &tracks {
                assert!(track.windows(2).all(|pair| pair[0].at + pair[0].length < pair[1].at), "seed {seed}");
            }
        }
    }

    #[test]
    fn every_worker_is_silenced_in_turn_before_the_store_has_faults() {
        for seed in 0..200 {
            let Schedule(tracks) = Schedule::new(seed, Duration::from_secs(60), Kind::Etcd);
            let first = &tracks[0][..WORKERS];
            let silenced: BTreeSet<_> = first.iter().map(|step| step.fault.to_string()).collect();
            assert_eq!(silenced.len(), WORKERS, "seed {seed}: {silenced:?}");
            assert!(first.iter().all(|step| step.fault.comes_first() && step.at < OPENING), "seed {seed}: {first:?}");
            assert!(tracks[1].iter().all(|step| step.at > OPENING), "seed {seed}");
        }
    }

    #[test]
    fn other_stores_have_faults_of_workers_only() {
        let Schedule(tracks) = Schedule::new(1, Duration::from_secs(180), Kind::Remote);
        assert!(tracks.iter().flatten().all(|step| matches!(step.fault, Fault::Worker(_))));
        assert_eq!(kinds(&tracks[0]).len(), 7);
        assert!(tracks[0].len() > 10);
        let Schedule(tracks) = Schedule::new(1, Duration::from_secs(180), Kind::Directory);
        assert_eq!(kinds(&tracks[0]), BTreeSet::from(["runtime blocked", "worker killed", "worker paused"]));
    }
}
