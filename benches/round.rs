//! One case with one locker on one store.

use crate::case::{Case, Figure};
use crate::effort::Effort;
use crate::lockers::{Hold, Micros, now};
use crate::store::{Counts, Store, Who};
use std::time::Duration;
use support::child::Child;

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) per_second: f64,
    /// Of acquire and release together, or of the hand-off, in milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// What the server received and what it did, for each hold.
    pub(crate) requests: f64,
    pub(crate) work: f64,
}

pub(crate) fn run(case: &Case, who: &Who, store: &Store, round: usize, effort: &Effort) -> Outcome {
    let key = format!("/bench/{}/{round}/{}", case.name, who.name).replace([' ', ',', '(', ')'], "-");
    let mut workers: Vec<Child> = (0..case.processes)
        .map(|_| {
            let mut command = who.command();
            command.arg(&key).arg(case.tasks.to_string()).arg(if case.own_keys { "own" } else { "one" });
            command.arg(case.hold.as_millis().to_string());
            Child::start(&mut command)
        })
        .collect();
    for worker in &mut workers {
        worker.expect_line("ready", Duration::from_secs(30));
    }
    let before = (store.count)(who);
    let begun = now();
    let end = begun + u64::try_from(effort.lasts(case.lasts).as_micros()).unwrap();
    workers.iter_mut().for_each(|worker| worker.say(&end.to_string()));
    let mut holds: Vec<Hold> = workers.iter_mut().flat_map(told).collect();
    let after = (store.count)(who);
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

/// For everybody who waited: from the first release meanwhile until it was its turn, whoever was served before it.
fn hand_offs(holds: &[Hold]) -> Vec<Micros> {
    let since_release = |waiter: &Hold| {
        let releases =
            holds.iter().map(|hold| hold.releasing).filter(|at| (waiter.asked..=waiter.granted).contains(at));
        releases.min().map(|release| waiter.granted - release)
    };
    holds.iter().filter_map(since_release).collect()
}

fn percentile(sorted: &[Micros], percent: usize) -> f64 {
    let at = sorted.len().saturating_sub(1) * percent / 100;
    sorted.get(at).map_or(f64::NAN, |micros| Duration::from_micros(*micros).as_secs_f64() * 1000.0)
}

/// What a worker has to tell when it is done.
fn told(worker: &mut Child) -> Vec<Hold> {
    let mut holds = Vec::new();
    loop {
        let line = worker.expect_line("", Duration::from_secs(60));
        if line == "end" {
            return holds;
        }
        let moments: Vec<Micros> = line.split(' ').map(|moment| moment.parse().unwrap()).collect();
        let [asked, granted, releasing, released] = moments[..] else { panic!("{line}") };
        holds.push(Hold { asked, granted, releasing, released });
    }
}
