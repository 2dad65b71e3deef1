//! Futures that are dropped at every step: nothing stays in the store, in this process's queue, or in the background. The
//! same for a store that fails at any step, while the future goes on to its end.
//!
//! Each scenario runs again and again, and the event comes one step later each time, until the scenario ends before it. A
//! step is a poll, or a turn for all other tasks, so that events come in the middle of background work, too.

use crate::delayed::Delayed;
use crate::polling::{MANY, drive};
use crate::scenarios::{ALONE, Build, Clients, IS_FAULTY, RELEASES, TTL, WAITS, Work};
use locks_runtime::store::World;
use locks_runtime::store::{Scope, Store};
use locks_runtime::stores::{file::FileStore, memory::Memory};
use locks_runtime::testing::client_in;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// After this time an unused session has been closed.
const IDLE: Duration = Duration::from_secs(700);

/// What happens at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The future is dropped.
    Dropped,
    /// The store forgets all sessions.
    Forgotten,
    /// The next request is carried out, and its answer lost.
    AnswerLost,
    /// The store is down for a moment.
    Down,
}

type Stores = (Arc<dyn Store>, Option<Memory>);

impl Event {
    async fn happens(self, future: Work, memory: Option<&Memory>) {
        let Some(memory) = memory.filter(|_| self != Self::Dropped) else { return drop(future) };
        match self {
            Self::Dropped => {}
            Self::Forgotten => memory.expire_sessions(),
            Self::AnswerLost => memory.faults().lose_answers(1),
            Self::Down => {
                memory.faults().set_down(true);
                let memory = memory.clone();
                tokio::spawn(async move {
                    sleep(Duration::from_millis(30)).await;
                    memory.faults().set_down(false);
                });
            }
        }
        drive(MANY, future).await.expect("the future never ends");
        // There may have been no answer to lose.
        memory.faults().lose_answers(0);
    }
}

/// Runs the scenario up to a step, lets `event` happen, and checks that nothing is left. Returns whether the scenario had
/// ended before.
async fn run_scenario(
    build: Build,
    (store, memory): Stores,
    (polls, turns): (usize, usize),
    steps: usize,
    event: Event,
) -> bool {
    IS_FAULTY.set(event != Event::Dropped);
    let client = || client_in(&World::here(), Arc::new(Delayed::new(Arc::clone(&store), polls)));
    let (ours, theirs) = (client(), client());
    let mut scenario = build(Clients { ours: ours.clone(), theirs: theirs.clone(), turns }).await;
    let meanwhile = tokio::spawn(scenario.meanwhile);
    let ended = drive(steps, scenario.dropped.as_mut()).await.is_some();
    if !ended {
        event.happens(scenario.dropped, memory.as_ref()).await;
    }
    timeout(2 * TTL, meanwhile).await.expect("other tasks wait for ever").unwrap();
    sleep(Duration::from_secs(1)).await;
    let left = store.inspect(Scope::Prefix(String::new())).await.unwrap();
    assert!(left.is_empty(), "in the store: {left:?}");
    for client in [&ours, &theirs] {
        // Fails if an entry or a position is left in the queue of either process.
        let guard = client.lock("k").try_acquire().await.unwrap().expect("the queue of this process is not empty");
        guard.release().await.unwrap();
    }
    ended
}

/// By how many polls a request and its answer are delayed, and how many turns pass before the other tasks begin.
const DELAYS: [(usize, usize); 5] = [(0, 3), (1, 1), (1, 6), (0, 0), (2, 10)];

/// Runs each scenario with the event one step later each time, until the scenario ends before it; then with longer delays.
fn explore(scenarios: &[(&str, Build)], store: impl Fn() -> Stores, event: Event) {
    let mut runs = 0;
    for (name, build) in scenarios {
        for delays in &DELAYS[..if event == Event::Dropped { 5 } else { 3 }] {
            let mut steps = 0;
            let run = |steps| {
                let name = format!("{name}, {delays:?}, {event:?} after {steps} steps");
                ends_before(&name, *build, &store, *delays, steps, event)
            };
            while !run(steps) {
                steps += 1;
                assert!(steps < MANY, "{name} never ends");
            }
            runs += steps;
        }
    }
    assert!(runs > 3 * scenarios.len(), "only {runs} steps at which something could happen");
}

/// Whether the scenario ends before the event, in a runtime of its own.
fn ends_before(
    name: &str,
    build: Build,
    store: impl Fn() -> Stores,
    delays: (usize, usize),
    steps: usize,
    event: Event,
) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (store, memory) = store();
        let stores = (store, memory.clone());
        let ended = tokio::spawn(async move { run_scenario(build, stores, delays, steps, event).await });
        let ended = ended.await.unwrap_or_else(|_| panic!("{name}"));
        sleep(IDLE).await;
        assert_eq!(memory.map_or(0, |memory| memory.sessions()), 0, "{name}: an unused session is still open");
        assert_eq!(runtime.metrics().num_alive_tasks(), 0, "{name}: a background task never ends");
        ended
    })
}

fn memory() -> Stores {
    let memory = Memory::new(&World::here());
    (Arc::new(memory.clone()), Some(memory))
}

fn explore_files(scenarios: &[(&str, Build)]) {
    let directory = tempfile::tempdir().unwrap();
    explore(
        scenarios,
        || (Arc::new(FileStore::new(directory.path().to_owned(), &World::here()).unwrap()), None),
        Event::Dropped,
    );
}

#[test]
fn alone_in_memory() {
    explore(&ALONE, memory, Event::Dropped);
}

#[test]
fn a_release_in_memory() {
    explore(&RELEASES, memory, Event::Dropped);
}

#[test]
fn a_wait_in_memory() {
    explore(&WAITS, memory, Event::Dropped);
}

#[test]
fn alone_in_files() {
    explore_files(&ALONE);
}

#[test]
fn a_release_in_files() {
    explore_files(&RELEASES);
}

#[test]
fn a_wait_in_files() {
    explore_files(&WAITS);
}

#[test]
fn a_store_that_forgets() {
    for scenarios in [&ALONE[..], &RELEASES, &WAITS] {
        explore(scenarios, memory, Event::Forgotten);
    }
}

#[test]
fn a_store_whose_answer_is_lost() {
    for scenarios in [&ALONE[..], &RELEASES, &WAITS] {
        explore(scenarios, memory, Event::AnswerLost);
    }
}

#[test]
fn a_store_that_is_down_for_a_moment() {
    for scenarios in [&ALONE[..], &RELEASES, &WAITS] {
        explore(scenarios, memory, Event::Down);
    }
}
