//! Futures dropped at every step: nothing stays in the store, in this process's line, or in the background. And the
//! same where something goes wrong with the store at any step, and the future goes on to its end.
//!
//! Each scene is played again and again, and what happens to it happens one step later each time, until it comes to its
//! end. A step is a poll or a turn for everybody else, so that the background work of a poll is met half way too.

use crate::delayed::Delayed;
use crate::steps::{MANY, drive};
use locks_runtime::__private::{Site, call};
use locks_runtime::store::World;
use locks_runtime::store::{Scope, Store};
use locks_runtime::stores::{file::FileStore, memory::Memory};
use locks_runtime::testing::client_in;
use locks_runtime::{Error, ErrorKind, Guard, Key, Lock, Locks, Options};
use std::cell::Cell;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

/// Long enough that hardly a renewal comes between.
const TTL: Duration = Duration::from_secs(100);
const SHORT: Duration = Duration::from_millis(50);
/// When a session that nobody uses has long been closed.
const IDLE: Duration = Duration::from_secs(700);

/// Two processes at one store.
struct Stage {
    ours: Locks,
    theirs: Locks,
    /// So many turns pass before what happens meanwhile.
    turns: usize,
}

/// What happens at one step.
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

thread_local! {
    /// Whether something goes wrong with the store, which those who use it may be told.
    static TROUBLE: Cell<bool> = const { Cell::new(false) };
}

/// What went well; `None` where it could not.
fn fine<T>(result: Result<T, Error>) -> Option<T> {
    let excused = |error: &Error| TROUBLE.get() && matches!(error.kind(), ErrorKind::Lost | ErrorKind::Unavailable);
    match result {
        Err(error) if excused(&error) => None,
        other => Some(other.unwrap()),
    }
}

type Act = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is dropped half way, and what others do meanwhile, which must come to its end.
struct Scene {
    dropped: Act,
    meanwhile: Act,
}

type Play = fn(Stage) -> Pin<Box<dyn Future<Output = Scene> + Send>>;

/// Declared in one place, so that one's hold may be passed on to the next.
fn job(locks: &Locks) -> Lock {
    locks.lock("k").name("job").ttl(TTL)
}

async fn turns(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}

async fn once(lock: Lock) {
    if let Some(guard) = fine(lock.acquire().await) {
        fine(guard.release().await);
    }
}

fn alone(dropped: impl Future<Output = ()> + Send + 'static) -> Scene {
    Scene { dropped: Box::pin(dropped), meanwhile: Box::pin(async {}) }
}

/// `guard` is released after some turns, and then all of `others` get the lock.
fn behind(guard: Guard, count: usize, others: Vec<Lock>, dropped: impl Future<Output = ()> + Send + 'static) -> Scene {
    let meanwhile = async move {
        let others: Vec<_> = others.into_iter().map(|lock| tokio::spawn(once(lock))).collect();
        turns(count).await;
        fine(guard.release().await);
        for other in others {
            other.await.unwrap();
        }
    };
    Scene { dropped: Box::pin(dropped), meanwhile: Box::pin(meanwhile) }
}

/// A body that awaits.
async fn body(guard: Guard) {
    for _ in 0..3 {
        fine(guard.check());
        yield_now().await;
    }
}

/// As the attribute has it.
async fn attribute(locks: Locks, options: Options) {
    static SITE: Site = Site { name: "job", template: "k", origin: concat!(file!(), ":", line!()) };
    let options = Options { ttl: Some(TTL), ..options };
    fine(call(&SITE, Key::new("k"), options, Some(locks), body).await);
}

const ALONE: [(&str, Play); 7] = [
    ("a free lock", |stage| Box::pin(async move { alone(once(job(&stage.ours))) })),
    ("a lock that is tried", |stage| {
        Box::pin(async move { alone(async move { drop(fine(job(&stage.ours).try_acquire().await)) }) })
    }),
    ("a lock that is kept", |stage| Box::pin(async move { alone(once(job(&stage.ours).hold_at_least(SHORT))) })),
    ("a hold with a limit", |stage| {
        let run = |stage: Stage| async move {
            let lost = job(&stage.ours).hold_at_most(SHORT).run(|_| pending::<()>()).await.unwrap_err();
            assert!(lost.kind() == ErrorKind::Lost || TROUBLE.get(), "{lost}");
        };
        Box::pin(async move { alone(run(stage)) })
    }),
    ("the attribute", |stage| Box::pin(async move { alone(attribute(stage.ours, Options::default())) })),
    ("the attribute, kept", |stage| {
        let options = Options { hold_at_least: Some(SHORT), hold_at_most: Some(TTL), ..Options::default() };
        Box::pin(async move { alone(attribute(stage.ours, options)) })
    }),
    ("a body that joins its own hold", |stage| {
        let inner = stage.ours.clone();
        let body = |_: Guard| async move {
            fine(job(&inner).run(body).await);
        };
        let outer = async move {
            fine(job(&stage.ours).run(body).await);
        };
        Box::pin(async move { alone(outer) })
    }),
];

const RELEASES: [(&str, Play); 3] = [
    ("a release", |stage| {
        Box::pin(async move {
            let guard = job(&stage.ours).acquire().await.unwrap();
            alone(async move {
                fine(guard.release().await);
            })
        })
    }),
    ("the release of a kept lock", |stage| {
        Box::pin(async move {
            let guard = job(&stage.ours).hold_at_least(SHORT).acquire().await.unwrap();
            alone(async move {
                fine(guard.release().await);
            })
        })
    }),
    ("a release to others", |stage| {
        Box::pin(async move {
            let guard = job(&stage.ours).acquire().await.unwrap();
            let others = [job(&stage.ours), job(&stage.theirs), stage.ours.lock("k").name("another")];
            let others: Vec<_> = others.into_iter().map(|lock| tokio::spawn(once(lock))).collect();
            turns(4).await;
            let meanwhile = async move {
                for other in others {
                    other.await.unwrap();
                }
            };
            let dropped = async move {
                fine(guard.release().await);
            };
            Scene { dropped: Box::pin(dropped), meanwhile: Box::pin(meanwhile) }
        })
    }),
];

const WAITS: [(&str, Play); 5] = [
    ("behind another process", |stage| {
        Box::pin(async move {
            let guard = job(&stage.theirs).acquire().await.unwrap();
            behind(guard, stage.turns, Vec::new(), once(job(&stage.ours)))
        })
    }),
    ("behind another of this process", |stage| {
        Box::pin(async move {
            let guard = job(&stage.ours).acquire().await.unwrap();
            behind(guard, stage.turns, Vec::new(), once(job(&stage.ours)))
        })
    }),
    ("between others", |stage| {
        Box::pin(async move {
            let guard = job(&stage.ours).acquire().await.unwrap();
            let others = vec![job(&stage.ours), stage.ours.lock("k").name("another"), job(&stage.theirs)];
            behind(guard, stage.turns, others, attribute(stage.ours, Options::default()))
        })
    }),
    ("a kept lock between others", |stage| {
        Box::pin(async move {
            let guard = job(&stage.ours).acquire().await.unwrap();
            let others = vec![job(&stage.ours), job(&stage.theirs)];
            behind(guard, stage.turns, others, once(job(&stage.ours).hold_at_least(SHORT)))
        })
    }),
    ("a wait with a limit", |stage| {
        Box::pin(async move {
            let (ours, theirs) = (stage.turns % 2 == 0, stage.turns % 4 < 2);
            let holder = if theirs { &stage.theirs } else { &stage.ours };
            let guard = job(holder).acquire().await.unwrap();
            let lock = job(&stage.ours).wait(Duration::from_millis(if ours { 5 } else { 1 }));
            let dropped = async move { drop(lock.acquire().await) };
            behind(guard, stage.turns * 4, Vec::new(), dropped)
        })
    }),
];

type Stores = (Arc<dyn Store>, Option<Memory>);

impl Event {
    async fn happens(self, future: Act, memory: Option<&Memory>) {
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
        drive(MANY, future).await.expect("it never ends");
        // What nobody has met.
        memory.faults().lose_answers(0);
    }
}

/// Plays the scene up to a step, lets `event` happen, and looks what is left. Gives whether it came to its end before.
async fn played(
    play: Play,
    (store, memory): Stores,
    (polls, turns): (usize, usize),
    steps: usize,
    event: Event,
) -> bool {
    TROUBLE.set(event != Event::Dropped);
    let client = || client_in(&World::here(), Arc::new(Delayed::new(Arc::clone(&store), polls)));
    let (ours, theirs) = (client(), client());
    let mut scene = play(Stage { ours: ours.clone(), theirs: theirs.clone(), turns }).await;
    let meanwhile = tokio::spawn(scene.meanwhile);
    let ended = drive(steps, scene.dropped.as_mut()).await.is_some();
    if !ended {
        event.happens(scene.dropped, memory.as_ref()).await;
    }
    timeout(2 * TTL, meanwhile).await.expect("others wait for ever").unwrap();
    sleep(Duration::from_secs(1)).await;
    let left = store.inspect(Scope::Prefix(String::new())).await.unwrap();
    assert!(left.is_empty(), "in the store: {left:?}");
    for client in [&ours, &theirs] {
        // Whoever stood in the process's own line would be named as the holder.
        let guard = client.lock("k").try_acquire().await.unwrap().expect("somebody stands in line yet");
        guard.release().await.unwrap();
    }
    ended
}

/// How many polls more a request and its answer take, and how many turns pass before what happens meanwhile.
const PACES: [(usize, usize); 5] = [(0, 3), (1, 1), (1, 6), (0, 0), (2, 10)];

/// Plays each scene to its end, with the event one step later each time, on a store that is slower each time.
fn explore(scenes: &[(&str, Play)], store: impl Fn() -> Stores, event: Event) {
    let mut plays = 0;
    for (name, play) in scenes {
        for pace in &PACES[..if event == Event::Dropped { 5 } else { 3 }] {
            let mut steps = 0;
            while !ends(&format!("{name}, {pace:?}, {event:?} after {steps} steps"), *play, &store, *pace, steps, event)
            {
                steps += 1;
                assert!(steps < MANY, "{name} never ends");
            }
            plays += steps;
        }
    }
    assert!(plays > 3 * scenes.len(), "{plays} places to be dropped at are too few for this to try anything");
}

fn ends(what: &str, play: Play, store: impl Fn() -> Stores, pace: (usize, usize), steps: usize, event: Event) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (store, memory) = store();
        let stores = (store, memory.clone());
        let played = tokio::spawn(async move { played(play, stores, pace, steps, event).await });
        let ended = played.await.unwrap_or_else(|_| panic!("{what}"));
        sleep(IDLE).await;
        assert_eq!(memory.map_or(0, |memory| memory.sessions()), 0, "{what}: a session is kept for nobody");
        assert_eq!(runtime.metrics().num_alive_tasks(), 0, "{what}: background work without an end");
        ended
    })
}

fn memory() -> Stores {
    let memory = Memory::new(&World::here());
    (Arc::new(memory.clone()), Some(memory))
}

fn explore_files(scenes: &[(&str, Play)]) {
    let directory = tempfile::tempdir().unwrap();
    explore(
        scenes,
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
    for scenes in [&ALONE[..], &RELEASES, &WAITS] {
        explore(scenes, memory, Event::Forgotten);
    }
}

#[test]
fn a_store_whose_answer_is_lost() {
    for scenes in [&ALONE[..], &RELEASES, &WAITS] {
        explore(scenes, memory, Event::AnswerLost);
    }
}

#[test]
fn a_store_that_is_down_for_a_moment() {
    for scenes in [&ALONE[..], &RELEASES, &WAITS] {
        explore(scenes, memory, Event::Down);
    }
}
