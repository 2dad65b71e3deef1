//! One case with one contestant on one store.

use crate::case::{Case, Figure};
use crate::lockers::{Hold, Micros, now};
use crate::settings::Settings;
use crate::store::{Contestant, Counts, Store};
use std::time::Duration;
use support::child::Child;

/// The figures of one case in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) per_second: f64,
    /// Of acquire and release together, or of the hand-off, in milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// What the server received and what it did, per hold.
    pub(crate) requests: f64,
    pub(crate) work: f64,
}

/// How long a process may hang before the benchmark fails.
const HANG_LIMIT: Duration = Duration::from_secs(300);

pub(crate) fn run(case: &Case, contestant: &Contestant, store: &Store, round: usize, settings: &Settings) -> Outcome {
    let key = format!("/bench/{}/{round}/{}", case.name, contestant.name).replace([' ', ',', '(', ')'], "-");
    let mut workers: Vec<Child> = (0..case.processes)
        .map(|_| {
            let mut command = contestant.command(case.is_far);
            command.arg(&key).arg(case.tasks.to_string()).arg(case.wants.word());
            command.arg(case.body.as_millis().to_string());
            Child::start(&mut command)
        })
        .collect();
    for worker in &mut workers {
        worker.expect_line("ready", HANG_LIMIT);
    }
    let before = (store.count)(contestant);
    let begun = now();
    let end = begun + u64::try_from(settings.length(case.length).as_micros()).unwrap();
    workers.iter_mut().for_each(|worker| worker.say(&end.to_string()));
    let mut holds: Vec<Hold> = workers.iter_mut().flat_map(reported_holds).collect();
    let after = (store.count)(contestant);
    holds.sort_by_key(|hold| hold.granted);
    outcome(case, &holds, begun, &before, &after)
}

fn outcome(case: &Case, holds: &[Hold], begun: Micros, before: &Counts, after: &Counts) -> Outcome {
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let per_hold = |counted: u64| counted as f64 / holds.len() as f64;
    let last = holds.iter().map(|hold| hold.released).max().unwrap_or(begun);
    let mut times: Vec<Micros> = match case.figure {
        Figure::Rate => holds.iter().map(Hold::cost).collect(),
        Figure::HandOff => hand_offs(holds),
    };
    times.sort_unstable();
    Outcome {
        per_second: per_hold(last - begun).recip() * 1e6,
        p50: percentile(&times, 50),
        p99: percentile(&times, 99),
        requests: per_hold(after.requests - before.requests),
        work: per_hold(after.work - before.work),
    }
}

/// For each waiter: the time from the first release after its request to its grant, whoever got the lock in between.
fn hand_offs(holds: &[Hold]) -> Vec<Micros> {
    let since_release = |waiter: &Hold| {
        let releases =
            holds.iter().map(|hold| hold.releasing).filter(|at| (waiter.requested..=waiter.granted).contains(at));
        releases.min().map(|release| waiter.granted - release)
    };
    holds.iter().filter_map(since_release).collect()
}

fn percentile(sorted: &[Micros], percent: usize) -> f64 {
    let at = sorted.len().saturating_sub(1) * percent / 100;
    sorted.get(at).map_or(f64::NAN, |micros| Duration::from_micros(*micros).as_secs_f64() * 1000.0)
}

/// The holds that a worker reports when it has ended.
fn reported_holds(worker: &mut Child) -> Vec<Hold> {
    let mut holds = Vec::new();
    loop {
        let line = worker.expect_line("", HANG_LIMIT);
        if line == "end" {
            return holds;
        }
        let times: Vec<Micros> = line.split(' ').map(|time| time.parse().unwrap()).collect();
        let [requested, granted, releasing, released] = times[..] else { panic!("{line}") };
        holds.push(Hold { requested, granted, releasing, released });
    }
}
