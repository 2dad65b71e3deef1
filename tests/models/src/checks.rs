//! What tests assert of a model.

use crate::explore::{Search, explore};
use crate::model::Model;
use crate::network::Network;
use crate::plan::{Act, Call, Event, Parts, Plan};
use crate::run::{play, simulate};
use locks_runtime::store::World;
use locks_runtime::testing::conformance;
use std::time::Duration;

/// A case of the conformance suite that waits on a thread of its own, for which simulated time does not.
const ON_A_THREAD: &str = "it_works_without_a_runtime_and_beyond_one";

/// Plays the plan with some seeds, which decide about the network.
///
/// # Panics
///
/// If something is found: with every message of that schedule.
#[track_caller]
pub fn assert_clean<M: Model>(plan: &Plan<M::Setup, M::Fault>) {
    for seed in 0..20 {
        let outcome = play::<M>(seed, plan, false);
        if !outcome.findings.0.is_empty() {
            let lines = play::<M>(seed, plan, true).lines.join("\n");
            panic!("{lines}\nseed {seed}:\n{}", outcome.findings);
        }
    }
}

/// While a stranger's transaction stays open on a lock's row, the holder's renewals and the waiter's looks do not wait for the row, and all
/// other locks go on. `open` is the fault: on the row of this lock, for so long.
///
/// # Panics
///
/// If that is not so.
#[track_caller]
pub fn assert_harms_that_lock_only<M: Model<Setup: Default>>(open: impl Fn(&'static str, Duration) -> M::Fault) {
    let seconds = Duration::from_secs;
    let mut calls = Call::holder_and_waiter(seconds(8));
    calls.push(vec![Call { key: "o", body: seconds(1), ..Call::new(2, 2) }, Call { key: "o", ..Call::new(2, 3) }]);
    calls[0].push(Call { key: "o", after: seconds(1), ..Call::new(0, 4) });
    for lasts in [1, 4, 30] {
        let plan = Plan::of(M::Setup::default(), calls.clone());
        assert_clean::<M>(&plan.with_faults([(2000, open("k", seconds(lasts)))]));
    }
}

/// However a call ends, and even if its process is killed then, the lock stays taken for its `hold_at_least`.
///
/// # Panics
///
/// If it does not, or for longer.
#[track_caller]
pub fn assert_held_at_least<M: Model>(setup: &M::Setup) {
    let ttl = Duration::from_secs(3);
    let first = |body, act| Call {
        body: Duration::from_millis(body),
        act,
        least: Some(Duration::from_secs(12)),
        ttl,
        ..Call::new(0, 0)
    };
    let second = Call { after: Duration::from_secs(1), ttl, ..Call::new(1, 1) };
    for (body, act) in [(0, Act::Run), (500, Act::Acquire), (4000, Act::Run)] {
        for killed_at in [None, Some(2000), Some(4500)] {
            let mut plan = Plan::of(setup.clone(), vec![vec![first(body, act)], vec![second.clone()]]);
            plan.events.extend(killed_at.map(|at| (Duration::from_millis(at), Event::Kill(0))));
            assert_clean::<M>(&plan);
            let outcome = play::<M>(1, &plan, true);
            let apart = outcome.begins("c1.1").unwrap() - outcome.begins("c0.0").unwrap();
            assert!((12.0..14.0).contains(&apart), "{apart} s, {body} ms {act:?}, killed at {killed_at:?}");
        }
    }
}

/// Plays plans with these parts, each `with` a fault in it, until something is found. Returns after how many.
///
/// # Panics
///
/// If nothing is found in `schedules` of them.
#[track_caller]
pub fn assert_found<M: Model>(schedules: u64, parts: &str, with: impl Fn(M::Setup) -> M::Setup) -> u64 {
    let parts = Parts::read::<M>(parts).unwrap();
    let is_found = |seed: &u64| {
        let plan = Plan::draw::<M>(*seed, &parts);
        let plan = Plan { setup: with(plan.setup.clone()), ..plan };
        !play::<M>(*seed, &plan, false).findings.0.is_empty()
    };
    let found = (0..schedules).find(is_found);
    found.map_or_else(|| panic!("not found in {schedules} schedules"), |seed| seed + 1)
}

/// Plays so many schedules, or as many as `SCHEDULES` says.
///
/// # Panics
///
/// If something is found.
#[track_caller]
pub fn assert_schedules_clean<M: Model>(schedules: u64) {
    let asked = std::env::var("SCHEDULES").ok().map(|number| number.parse().unwrap());
    let exploration = explore::<M>(0..asked.unwrap_or(schedules), &Search { jobs: 2, ..Search::default() });
    assert!(exploration.is_clean(), "{exploration}\n`make explore SHOW=seed` shows every message of a schedule");
}

/// Plays so many seeds twice.
///
/// # Panics
///
/// If one does not repeat itself.
#[track_caller]
pub fn assert_repeatable<M: Model>(seeds: u64) {
    let exploration = explore::<M>(0..seeds, &Search { jobs: 2, twice: true, ..Search::default() });
    assert!(exploration.unrepeatable.is_empty(), "{exploration}");
}

/// Plays every case of the conformance suite but those `without`, each on a server of its own. The random numbers are those
/// of the seeds from `seed` on: the engine tells the clients of one process by them.
///
/// # Panics
///
/// If a case fails, whose name is the last that was printed, or there is none with a name in `without`.
pub fn assert_conforms<M: Model>(setup: &M::Setup, seed: u64, without: &[&str]) {
    let start = |seed| M::start(&Network::new(seed, false), setup, 1000);
    let cases = conformance::cases(simulate(async || start(seed).store(0, World::here()).capabilities()));
    let is_left_out = |name: &str| name.ends_with(ON_A_THREAD) || without.iter().any(|other| name.ends_with(other));
    let (left_out, cases): (Vec<_>, Vec<_>) = cases.into_iter().partition(|case| is_left_out(case.name()));
    assert_eq!(left_out.len(), 1 + without.len());
    assert!(cases.len() > 40, "{} cases", cases.len());
    for (seed, case) in (seed..).zip(cases) {
        println!("{}", case.name());
        simulate(async || {
            let (server, world) = (start(seed), World::simulated(seed));
            let stores = world.clone();
            case.run_in(&world, move || server.store(0, stores.clone())).await;
        });
    }
}
