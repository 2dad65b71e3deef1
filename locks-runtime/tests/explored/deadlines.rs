//! Deadlines: whoever believes that it holds does hold, by the store's own clock, whatever becomes of messages, whenever
//! the process is paused, and although the two clocks drift apart. And where the network is well nobody loses anything.

use crate::network::{Fate, NetworkStore};
use locks_runtime::store::World;
use locks_runtime::testing::client_in;
use locks_runtime::{ErrorKind, Fence, Guard, Locks};
use proptest::prelude::*;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, advance, sleep, sleep_until, timeout};

/// Within this time after a pause, whoever missed its end in it is gone.
const AFTER_A_PAUSE: Duration = Duration::from_millis(3);

/// A course of events. Times of the network are in thousandths of the TTL.
#[derive(Clone, Debug)]
struct Course {
    ttl: Duration,
    /// Of the store's clock.
    pace: u32,
    fates: Vec<Fate>,
    /// What becomes of all other requests, where nobody has to be served in the end.
    then: Fate,
    /// After how long the whole process is paused, and for how long.
    pauses: Vec<(Duration, Duration)>,
    /// How long a body sleeps between two looks.
    step: Duration,
    /// Whether others ask the guard meanwhile, which may notice a loss before whoever is there for that.
    asked: bool,
}

fn share(ttl: Duration, most: u32) -> impl Strategy<Value = Duration> {
    (0..=most).prop_map(move |thousandths| ttl * thousandths / 1000)
}

fn bad(ttl: Duration) -> impl Strategy<Value = Fate> {
    prop_oneof![
        (share(ttl, 500), share(ttl, 333)).prop_map(|(there, limit)| Fate::Unanswered { there, limit }),
        share(ttl, 333).prop_map(|limit| Fate::Lost { limit }),
        Just(Fate::Refused),
    ]
}

fn any_fate(ttl: Duration) -> impl Strategy<Value = Fate> {
    let answered = (share(ttl, 600), proptest::option::of(share(ttl, 1500)), share(ttl, 600));
    prop_oneof![
        3 => Just(Fate::GOOD),
        3 => answered.prop_map(|(there, again, back)| Fate::Answered { there, again, back }),
        2 => bad(ttl),
    ]
}

fn course() -> impl Strategy<Value = Course> {
    (200..20_000_u64, 990..=1010_u32).prop_flat_map(|(ttl, pace)| {
        let ttl = Duration::from_millis(ttl);
        let fates = proptest::collection::vec(any_fate(ttl), 0..25);
        let pauses = proptest::collection::vec((share(ttl, 3000), share(ttl, 1300)), 0..4);
        let step = prop_oneof![Just(ttl / 9), Just(ttl * 1000)];
        let then = prop_oneof![Just(Fate::GOOD), Just(Fate::Refused), bad(ttl)];
        (fates, then, pauses, step, any::<bool>()).prop_map(move |(fates, then, pauses, step, asked)| Course {
            ttl,
            pace,
            fates,
            then,
            pauses,
            step,
            asked,
        })
    })
}

/// A network that is well: slow at times, and what fails is followed by what does not.
fn well() -> impl Strategy<Value = Course> {
    (1000..20_000_u64, 990..=1010_u32).prop_flat_map(|(ttl, pace)| {
        let ttl = Duration::from_millis(ttl);
        let good = (share(ttl, 50), proptest::option::of(share(ttl, 100)), share(ttl, 50))
            .prop_map(|(there, again, back)| Fate::Answered { there, again, back });
        let fates = proptest::collection::vec((good, proptest::option::of(bad(ttl))), 3..40);
        fates.prop_map(move |fates| {
            // The first two open the session and enter the line.
            let fates = [Fate::GOOD; 2]
                .into_iter()
                .chain(fates.into_iter().flat_map(|(good, bad)| bad.into_iter().chain([good])));
            Course { ttl, pace, fates: fates.collect(), then: Fate::GOOD, pauses: Vec::new(), step: ttl, asked: true }
        })
    })
}

fn simulate(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(future);
}

/// What was seen of the bodies.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Bodies>>);

#[derive(Debug, Default)]
struct Bodies {
    /// The one that runs, if it does, and its view of its hold.
    running: Option<Arc<Guard>>,
    /// When the process last came back from a pause.
    resumed: Option<Instant>,
    /// In the order in which they began.
    fences: Vec<Fence>,
    wrong: Vec<String>,
}

impl Seen {
    fn expect(&self, is_right: bool, what: impl FnOnce() -> String) {
        if !is_right {
            self.0.lock().unwrap().wrong.push(what());
        }
    }

    fn nothing_wrong(&self) {
        assert!(self.0.lock().unwrap().wrong.is_empty(), "{:?}", self.0.lock().unwrap().wrong);
    }

    /// Looks whether somebody believes in a hold that the store does not know.
    fn look(&self, store: &NetworkStore, when: &str) {
        let running = self.0.lock().unwrap().running.clone();
        if let Some(guard) = running.filter(|guard| guard.is_held()) {
            let (number, holds) = (guard.fence().number(), store.holds());
            self.expect(holds == Some(number), || format!("{when}: {number} is believed, and {holds:?} holds"));
        }
    }

    /// Looks whether a body runs whose lock the store has given up.
    fn look_at_body(&self, store: &NetworkStore) {
        let running = self.0.lock().unwrap().running.clone();
        if let Some(guard) = running {
            let (number, holds) = (guard.fence().number(), store.holds());
            self.expect(holds == Some(number), || format!("the body of {number} still runs, and {holds:?} holds"));
        }
    }

    /// A body that looks at each of its polls.
    async fn body(self, guard: Guard, store: NetworkStore, lasts: Duration, step: Duration) {
        struct Running(Seen, Fence);
        impl Drop for Running {
            fn drop(&mut self) {
                self.0.0.lock().unwrap().running.take_if(|running| running.fence() == self.1);
            }
        }
        let (begun, fence) = (Instant::now(), guard.fence());
        {
            let mut bodies = self.0.lock().unwrap();
            // One that missed its end in a pause may get no turn to go before another begins, but knows that it is over.
            let just_resumed = bodies.resumed.is_some_and(|at| at.elapsed() <= AFTER_A_PAUSE);
            if bodies.running.as_ref().is_some_and(|other| !just_resumed || other.is_held()) {
                bodies.wrong.push(format!("two bodies at once, the second with {fence}"));
            }
            if let Some(last) = bodies.fences.last().copied().filter(|last| *last >= fence) {
                bodies.wrong.push(format!("{fence} came after {last}"));
            }
            bodies.fences.push(fence);
            bodies.running = Some(Arc::new(guard));
        }
        let running = Running(self, fence);
        loop {
            running.0.look_at_body(&store);
            let left = lasts.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return;
            }
            sleep(left.min(step)).await;
        }
    }
}

/// Goes from event to event, and looks at each.
async fn watch(course: &Course, store: &NetworkStore, seen: &Seen, lasts: Duration, is_over: impl Fn() -> bool) {
    let begun = Instant::now();
    let mut pauses = course.pauses.iter();
    let mut pause = pauses.next().map(|(after, length)| (begun + *after, *length));
    while begun.elapsed() < lasts && !is_over() {
        let often = Instant::now() + course.ttl / 10;
        let next = store.next_event().into_iter().chain(pause.map(|(at, _)| at)).chain([often]).min().unwrap();
        sleep_until(next).await;
        let due = pause.filter(|(at, _)| *at <= Instant::now());
        let was_paused = due.is_some();
        if let Some((_, length)) = due {
            // Nobody gets a turn meanwhile; then everything that was due is due at once, in any order.
            seen.0.lock().unwrap().resumed = Some(Instant::now() + length);
            advance(length).await;
            pause = pauses.next().map(|(after, length)| (Instant::now() + *after, *length));
        }
        if course.asked {
            seen.look(store, "at once");
        }
        for _ in 0..20 {
            yield_now().await;
        }
        if was_paused {
            // A body that has missed its end is never polled again; until it is gone a timer may have to ring once more.
            sleep(AFTER_A_PAUSE).await;
        }
        seen.look_at_body(store);
        if course.asked {
            seen.look(store, "a moment later");
        }
    }
}

fn contender(locks: Locks, course: &Course, store: &NetworkStore, seen: &Seen, lasts: Duration) -> JoinHandle<()> {
    let (ttl, step, store, seen) = (course.ttl, course.step, store.clone(), seen.clone());
    tokio::spawn(async move {
        for _ in 0..3 {
            let began = AtomicBool::new(false);
            let body = async |guard: Guard| {
                began.store(true, Ordering::SeqCst);
                seen.clone().body(guard, store.clone(), lasts, step).await;
            };
            match locks.lock("k").name("contender").ttl(ttl).run(body).await {
                Ok(()) => {}
                // Lost is what was held, and nothing else: the caller has to know whether something was done.
                Err(error) => {
                    let expected = if began.into_inner() { ErrorKind::Lost } else { ErrorKind::Unavailable };
                    assert_eq!(error.kind(), expected, "{error}");
                }
            }
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whoever_believes_to_hold_holds(course in course()) {
        simulate(async move {
            let (store, seen) = (NetworkStore::new(course.pace), Seen::default());
            store.foretell(course.fates.clone(), course.then);
            let locks = client_in(&World::here(), Arc::new(store.clone()));
            let (body_sees, body_store, ttl, step) = (seen.clone(), store.clone(), course.ttl, course.step);
            let body = move |guard: Guard| body_sees.body(guard, body_store, ttl * 1000, step);
            let run = tokio::spawn(locks.lock("k").ttl(ttl).run(body));
            watch(&course, &store, &seen, course.ttl * 20, || run.is_finished()).await;
            run.abort();
            seen.nothing_wrong();
        });
    }

    #[test]
    fn nobody_loses_anything_while_the_network_is_well(course in well()) {
        simulate(async move {
            let (store, seen) = (NetworkStore::new(course.pace), Seen::default());
            store.foretell(course.fates.clone(), course.then);
            let locks = client_in(&World::here(), Arc::new(store.clone()));
            let guard = locks.lock("k").ttl(course.ttl).acquire().await.unwrap();
            let mut left = course.fates.len();
            while left > 0 {
                sleep(course.ttl / 10).await;
                assert!(guard.is_held(), "lost: {:?}", guard.check());
                assert_eq!(store.holds(), Some(guard.fence().number()));
                left = left.min(store.fates());
            }
            guard.release().await.unwrap();
            assert_eq!(store.size().1, 0);
            seen.nothing_wrong();
        });
    }

    /// Two processes with two tasks each; in the end everybody has been served, and nothing is left.
    #[test]
    fn bodies_are_never_two_and_their_fences_grow(course in course(), lasts in 0..1500_u32) {
        simulate(async move {
            let (store, seen) = (NetworkStore::new(course.pace), Seen::default());
            store.foretell(course.fates.clone(), Fate::GOOD);
            let lasts = course.ttl * lasts / 1000;
            let mut tasks = Vec::new();
            for _ in 0..2 {
                let locks = client_in(&World::here(), Arc::new(store.clone()));
                tasks.extend((0..2).map(|_| contender(locks.clone(), &course, &store, &seen, lasts)));
            }
            let all = course.ttl * 200 + Duration::from_secs(200);
            watch(&course, &store, &seen, all, || tasks.iter().all(JoinHandle::is_finished)).await;
            for task in tasks {
                timeout(Duration::from_secs(1), task).await.expect("somebody waits for ever").unwrap();
            }
            seen.nothing_wrong();
            // The last copy of a request may arrive after two TTLs, and what it renewed lapses after one more.
            sleep(course.ttl * 4).await;
            assert_eq!(store.size().1, 0, "entries that nobody owns");
            sleep(course.ttl * 5 + Duration::from_secs(200)).await;
            assert_eq!(store.size(), (0, 0), "sessions that nobody uses are kept");
        });
    }
}
