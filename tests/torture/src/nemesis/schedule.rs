//! Which faults begin when, and how long they last: all of it depends on the seed alone.

use std::time::Duration;

use support::proxy::Mode;

use super::fault::Fault;
use super::store::Kind;
use super::workers;
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

impl Step {
    /// By how much it is put off at this time of the run, if those before it were put off by `before`: by whole cycles, so
    /// that the part of each cycle without faults remains.
    pub(super) fn put_off(&self, before: Duration, now: Duration) -> Duration {
        let late = now.saturating_sub(self.at + before);
        let cycles = u32::try_from(nanos(late).div_ceil(nanos(CYCLE))).unwrap_or(u32::MAX);
        if late > LATE { before + CYCLE * cycles } else { before }
    }
}

/// Two tracks of faults, which run beside each other: one for the store, one for the workers. In each track one fault
/// follows the other. Each kind comes once before any kind comes again, in random order; at first the rare ones come last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule(pub Vec<Vec<Step>>);

/// A cycle begins with faults of the store and of the workers, goes on with faults of workers only, and ends with no faults, so
/// that everything has to recover with nothing to excuse it.
const CYCLE: Duration = Duration::from_secs(60);
const STORE_UNTIL: Duration = Duration::from_secs(32);
const WORKERS_UNTIL: Duration = Duration::from_secs(46);

/// A step that is later than this is put off.
const LATE: Duration = Duration::from_secs(3);

/// The least pause between the silence of one worker and what follows it.
const BETWEEN: Duration = Duration::from_millis(500);

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

    /// For a lock with a flaw. It begins by silencing each worker in turn, on a store without faults, whose leases lapse in
    /// time: every flaw has to show there already. What only a lock survives that looks for another store in the place of
    /// its own is left out.
    #[must_use]
    pub fn for_a_flaw(seed: u64, length: Duration, store: Kind) -> Self {
        let mut opening = opening(Random::new(seed, "opening"));
        let begin = opening.last().map_or(Duration::ZERO, |step| step.at + step.length) + BETWEEN;
        let Self(mut tracks) = Self::new(seed, length.saturating_sub(begin), store);
        for track in &mut tracks {
            track.retain(|step| !step.fault.exchanges_store());
            track.iter_mut().for_each(|step| step.at += begin);
        }
        opening.append(&mut tracks[0]);
        tracks[0] = opening;
        Self(tracks)
    }
}

/// Each worker is silenced once.
fn opening(mut random: Random) -> Vec<Step> {
    let mut workers: Vec<usize> = (0..WORKERS).collect();
    random.shuffle(&mut workers);
    let mut at = Duration::from_secs(1);
    let step = |worker| {
        let fault = workers::Fault::CutWorker(worker, Mode::Silent);
        let step = Step { at, length: fault.length(&mut random), fault: Fault::Worker(fault) };
        at += step.length + BETWEEN;
        step
    };
    workers.into_iter().map(step).collect()
}

/// The faults of one track; `deck` returns one fault of each kind.
fn track(mut random: Random, length: Duration, until: Duration, deck: impl Fn(&mut Random) -> Vec<Fault>) -> Vec<Step> {
    let mut steps = Vec::new();
    let (mut remaining, mut is_first_deck) = (Vec::new(), true);
    let mut at = random.millis(1_000, 3_000);
    loop {
        if remaining.is_empty() {
            remaining = deck(&mut random);
            random.shuffle(&mut remaining);
            if std::mem::take(&mut is_first_deck) {
                // The last one is next.
                remaining.sort_by_key(|fault| !fault.is_rare());
            }
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
    fn three_minutes_of_etcd_have_every_common_kind() {
        for seed in 0..200 {
            let Schedule(tracks) = Schedule::new(seed, Duration::from_secs(180), Kind::Etcd);
            let common = tracks.iter().flatten().filter(|step| !step.fault.is_rare());
            let common: BTreeSet<_> = common.map(|step| step.fault.kind()).collect();
            assert_eq!(common.len(), 22, "seed {seed}: {common:?}");
        }
    }

    #[test]
    fn ten_minutes_of_etcd_have_every_kind() {
        for (store, faults) in [(Kind::Etcd, 18), (Kind::EtcdWithUsers, 20)] {
            for seed in 0..200 {
                let Schedule(tracks) = Schedule::new(seed, Duration::from_secs(600), store);
                assert_eq!((kinds(&tracks[0]).len(), kinds(&tracks[1]).len()), (11, faults), "seed {seed}");
            }
        }
    }

    #[test]
    fn a_lock_that_does_not_look_is_left_its_store() {
        let exchanges = |Schedule(tracks): &Schedule| tracks.iter().flatten().any(|step| step.fault.exchanges_store());
        let length = Duration::from_secs(600);
        assert!(exchanges(&Schedule::new(1, length, Kind::Etcd)));
        assert!(!exchanges(&Schedule::for_a_flaw(1, length, Kind::Etcd)));
    }

    #[test]
    fn before_anything_else_a_flaw_meets_the_silence_of_each_worker() {
        for seed in 0..200 {
            let Schedule(tracks) = Schedule::for_a_flaw(seed, Duration::from_secs(60), Kind::Etcd);
            let (first, others) = tracks[0].split_at(WORKERS);
            let silenced: BTreeSet<_> = first.iter().map(|step| step.fault.to_string()).collect();
            assert_eq!((silenced.len(), kinds(first)), (WORKERS, BTreeSet::from(["worker cut off"])), "seed {seed}");
            let end = first.last().map(|step| step.at + step.length).unwrap();
            assert!(end < Duration::from_secs(28), "seed {seed}: {end:?}");
            assert!(others.iter().chain(&tracks[1]).all(|step| step.at > end), "seed {seed}");
        }
    }

    #[test]
    fn a_step_that_comes_too_late_waits_for_its_part_of_a_cycle() {
        let seconds = Duration::from_secs;
        let fault = Fault::Worker(workers::Fault::KillWorker(0));
        let step = Step { at: seconds(70), length: seconds(5), fault };
        let put_off = |before, now| step.put_off(seconds(before), seconds(now)).as_secs();
        assert_eq!((put_off(0, 10), put_off(0, 72), put_off(60, 132)), (0, 0, 60));
        assert_eq!((put_off(0, 80), put_off(0, 130), put_off(0, 131), put_off(60, 140)), (60, 60, 120, 120));
    }

    #[test]
    fn stores_of_others_have_faults_of_workers_only() {
        let Schedule(tracks) = Schedule::new(1, Duration::from_secs(180), Kind::Remote);
        assert!(tracks.iter().flatten().all(|step| matches!(step.fault, Fault::Worker(_))));
        assert!(tracks[0].len() > 10);
        assert_eq!(kinds(&tracks[0]).len(), 10);
        let Schedule(tracks) = Schedule::new(1, Duration::from_secs(180), Kind::Directory);
        assert_eq!(kinds(&tracks[0]), BTreeSet::from(["runtime blocked", "worker killed", "worker paused"]));
    }
}
