//! Many seeds, on several threads.

use crate::model::Model;
use crate::plan::{Parts, Plan};
use crate::run::{Outcome, play};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What came of many seeds.
#[derive(Debug, Default)]
pub struct Exploration {
    /// How many were played.
    pub schedules: u64,
    /// How many messages passed in all of them.
    pub messages: u64,
    /// How much simulated time passed.
    pub simulated: Duration,
    /// How much time it took.
    pub took: Duration,
    /// Seeds that did not repeat themselves, where that was tried.
    pub unrepeatable: Vec<u64>,
    /// By kind, what was found.
    pub found: BTreeMap<&'static str, Found>,
}

/// One kind of finding.
#[derive(Clone, Debug)]
pub struct Found {
    /// In how many schedules.
    pub times: u64,
    /// The smallest seed with it.
    pub seed: u64,
    /// What it was there.
    pub what: String,
}

/// How seeds are explored.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Which parts are in the plans.
    pub parts: Parts,
    /// On how many threads.
    pub jobs: usize,
    /// Whether each is played twice, to see that it repeats itself.
    pub twice: bool,
    /// Whether to stop after the first finding.
    pub first: bool,
}

/// Plays these seeds.
#[must_use]
pub fn explore<M: Model>(seeds: Range<u64>, search: &Search) -> Exploration {
    let begun = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let total = Mutex::new(Exploration::default());
    std::thread::scope(|scope| {
        for _ in 0..search.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || (search.first && !total.lock().unwrap().found.is_empty()) {
                        return;
                    }
                    let plan = Plan::draw::<M>(seed, &search.parts);
                    let outcome = play::<M>(seed, &plan, false);
                    let repeats = !search.twice || play::<M>(seed, &plan, false).hash == outcome.hash;
                    total.lock().unwrap().add(seed, outcome, repeats);
                }
            });
        }
    });
    Exploration { took: begun.elapsed(), ..total.into_inner().unwrap() }
}

impl Exploration {
    fn add(&mut self, seed: u64, outcome: Outcome, repeats: bool) {
        self.schedules += 1;
        self.messages += outcome.messages;
        self.simulated += outcome.simulated;
        if !repeats {
            self.unrepeatable.push(seed);
        }
        for (kind, what) in outcome.findings.0 {
            let found =
                self.found.entry(kind).or_insert_with(|| Found { times: 0, seed: u64::MAX, what: String::new() });
            found.times += 1;
            if seed < found.seed {
                (found.seed, found.what) = (seed, what);
            }
        }
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.found.is_empty() && self.unrepeatable.is_empty()
    }
}

impl fmt::Display for Exploration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.schedules as f64 / self.took.as_secs_f64();
        write!(
            f,
            "{} schedules in {:.1} s ({rate:.0} a second): {} messages, {:.0} h of simulated time",
            self.schedules,
            self.took.as_secs_f64(),
            self.messages,
            self.simulated.as_secs_f64() / 3600.0
        )?;
        if !self.unrepeatable.is_empty() {
            write!(f, "\n{} do not repeat themselves: {:?}", self.unrepeatable.len(), self.unrepeatable)?;
        }
        for (kind, Found { times, seed, what }) in &self.found {
            write!(f, "\n{kind}: {times} times, first with seed {seed}: {what}")?;
        }
        Ok(())
    }
}
