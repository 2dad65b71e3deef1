//! Deadlines: whoever believes to hold the lock does hold it, by the store's own clock, whatever happens to requests,
//! whenever the process is paused, and although the two clocks drift apart. And with a good network no hold is lost.

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
use tokio::time::{self, Instant, advance, sleep, sleep_until};

/// A body whose hold ended during a pause is dropped within this time after it.
const AFTER_A_PAUSE: Duration = Duration::from_millis(3);

/// One case. The times of the network are in thousandths of the TTL.
#[derive(Clone, Debug)]
struct Case {
    ttl: Duration,
    /// How fast the store's clock runs.
    pace: u32,
    fates: Vec<Fate>,
    /// What happens to all later requests, where no request has to succeed in the end.
    later: Fate,
    /// After how long the whole process is paused, and for how long.
    pauses: Vec<(Duration, Duration)>,
    /// How long a body sleeps between two checks.
    step: Duration,
    /// Whether other tasks check the guard, which may notice a loss before the engine's own task.
    checked: bool,
}

fn share(ttl: Duration, most: u32) -> impl Strategy<Value = Duration> {
    (0..=most).prop_map(move |thousandths| ttl * thousandths / 1000)
}

fn bad(ttl: Duration) -> impl Strategy<Value = Fate> {
    prop_oneof![
        (share(ttl, 500), share(ttl, 333)).prop_map(|(there, timeout)| Fate::Unanswered { there, timeout }),
        share(ttl, 333).prop_map(|timeout| Fate::Lost { timeout }),
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

fn case() -> impl Strategy<Value = Case> {
    (200..20_000_u64, 990..=1010_u32).prop_flat_map(|(ttl, pace)| {
        let ttl = Duration::from_millis(ttl);
        let fates = proptest::collection::vec(any_fate(ttl), 0..25);
        let pauses = proptest::collection::vec((share(ttl, 3000), share(ttl, 1300)), 0..4);
        let step = prop_oneof![Just(ttl / 9), Just(ttl * 1000)];
        let later = prop_oneof![Just(Fate::GOOD), Just(Fate::Refused), bad(ttl)];
        (fates, later, pauses, step, any::<bool>()).prop_map(move |(fates, later, pauses, step, checked)| Case {
            ttl,
            pace,
            fates,
            later,
            pauses,
            step,
            checked,
        })
    })
}

/// A good network: slow at times, and every failure is followed by a success.
fn good_network() -> impl Strategy<Value = Case> {
    (1000..20_000_u64, 990..=1010_u32).prop_flat_map(|(ttl, pace)| {
        let ttl = Duration::from_millis(ttl);
        let good = (share(ttl, 50), proptest::option::of(share(ttl, 100)), share(ttl, 50))
            .prop_map(|(there, again, back)| Fate::Answered { there, again, back });
        let fates = proptest::collection::vec((good, proptest::option::of(bad(ttl))), 3..40);
        fates.prop_map(move |fates| {
            // The first two open the session and enter the queue.
            let fates = [Fate::GOOD; 2]
                .into_iter()
                .chain(fates.into_iter().flat_map(|(good, bad)| bad.into_iter().chain([good])));
            Case { ttl, pace, fates: fates.collect(), later: Fate::GOOD, pauses: Vec::new(), step: ttl, checked: true }
        })
    })
}

fn simulate(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(future);
}

/// What was seen of the bodies so far.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Bodies>>);

#[derive(Debug, Default)]
struct Bodies {
    /// The guard of the body that runs, if there is one.
    running: Option<Arc<Guard>>,
    /// When the process was last resumed.
    resumed: Option<Instant>,
    /// In the order in which they began.
    fences: Vec<Fence>,
    violations: Vec<String>,
}

impl Seen {
    fn expect(&self, is_right: bool, what: impl FnOnce() -> String) {
        if !is_right {
            self.0.lock().unwrap().violations.push(what());
        }
    }

    fn assert_no_violations(&self) {
        assert!(self.0.lock().unwrap().violations.is_empty(), "{:?}", self.0.lock().unwrap().violations);
    }

    /// Checks that a guard reports a hold only if the store agrees.
    fn check_guard(&self, store: &NetworkStore, when: &str) {
        let running = self.0.lock().unwrap().running.clone();
        if let Some(guard) = running.filter(|guard| guard.is_held()) {
            let (number, holds) = (guard.fence().number(), store.holds());
            self.expect(holds == Some(number), || {
                format!("{when}: the guard of {number} reports a hold, and {holds:?} holds")
            });
        }
    }

    /// Checks that a body runs only while the store agrees.
    fn check_body(&self, store: &NetworkStore) {
        let running = self.0.lock().unwrap().running.clone();
        if let Some(guard) = running {
            let (number, holds) = (guard.fence().number(), store.holds());
            self.expect(holds == Some(number), || format!("the body of {number} is running, and {holds:?} holds"));
        }
    }

    /// A body that checks at each of its polls.
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
            // A body whose hold ended during a pause may not be dropped yet, but its guard reports the end.
            let just_resumed = bodies.resumed.is_some_and(|at| at.elapsed() <= AFTER_A_PAUSE);
            if bodies.running.as_ref().is_some_and(|other| !just_resumed || other.is_held()) {
                bodies.violations.push(format!("two bodies at once, the second one with {fence}"));
            }
            if let Some(last) = bodies.fences.last().copied().filter(|last| *last >= fence) {
                bodies.violations.push(format!("{fence} came after {last}"));
            }
            bodies.fences.push(fence);
            bodies.running = Some(Arc::new(guard));
        }
        let running = Running(self, fence);
        loop {
            running.0.check_body(&store);
            let left = lasts.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return;
            }
            sleep(left.min(step)).await;
        }
    }
}

/// Advances from event to event, and checks at each.
async fn run_until(case: &Case, store: &NetworkStore, seen: &Seen, lasts: Duration, is_over: impl Fn() -> bool) {
    let begun = Instant::now();
    let mut pauses = case.pauses.iter();
    let mut pause = pauses.next().map(|(after, length)| (begun + *after, *length));
    while begun.elapsed() < lasts && !is_over() {
        let latest = Instant::now() + case.ttl / 10;
        let next = store.next_event().into_iter().chain(pause.map(|(at, _)| at)).chain([latest]).min().unwrap();
        sleep_until(next).await;
        let due = pause.filter(|(at, _)| *at <= Instant::now());
        let was_paused = due.is_some();
        if let Some((_, length)) = due {
            // No task runs meanwhile; then everything that was due is due at once, in any order.
            seen.0.lock().unwrap().resumed = Some(Instant::now() + length);
            advance(length).await;
            pause = pauses.next().map(|(after, length)| (Instant::now() + *after, *length));
        }
        if case.checked {
            seen.check_guard(store, "at once");
        }
        for _ in 0..20 {
            yield_now().await;
        }
        if was_paused {
            // A body whose hold has ended is never polled again; but another timer may have to fire until it is dropped.
            sleep(AFTER_A_PAUSE).await;
        }
        seen.check_body(store);
        if case.checked {
            seen.check_guard(store, "a moment later");
        }
    }
}

fn contender(locks: Locks, case: &Case, store: &NetworkStore, seen: &Seen, lasts: Duration) -> JoinHandle<()> {
    let (ttl, step, store, seen) = (case.ttl, case.step, store.clone(), seen.clone());
    tokio::spawn(async move {
        for _ in 0..3 {
            let began = AtomicBool::new(false);
            let body = async |guard: Guard| {
                began.store(true, Ordering::SeqCst);
                seen.clone().body(guard, store.clone(), lasts, step).await;
            };
            match locks.lock("k").name("contender").ttl(ttl).run(body).await {
                Ok(()) => {}
                // `Lost` only if the body had begun: the caller has to know whether it did anything.
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
    fn whoever_believes_to_hold_the_lock_holds_it(case in case()) {
        simulate(async move {
            let (store, seen) = (NetworkStore::new(case.pace), Seen::default());
            store.set_fates(case.fates.clone(), case.later);
            let locks = client_in(&World::here(), Arc::new(store.clone()));
            let (body_sees, body_store, ttl, step) = (seen.clone(), store.clone(), case.ttl, case.step);
            let body = move |guard: Guard| body_sees.body(guard, body_store, ttl * 1000, step);
            let run = tokio::spawn(locks.lock("k").ttl(ttl).run(body));
            run_until(&case, &store, &seen, case.ttl * 20, || run.is_finished()).await;
            run.abort();
            seen.assert_no_violations();
        });
    }

    #[test]
    fn no_hold_is_lost_with_a_good_network(case in good_network()) {
        simulate(async move {
            let (store, seen) = (NetworkStore::new(case.pace), Seen::default());
            store.set_fates(case.fates.clone(), case.later);
            let locks = client_in(&World::here(), Arc::new(store.clone()));
            let guard = locks.lock("k").ttl(case.ttl).acquire().await.unwrap();
            let mut left = case.fates.len();
            while left > 0 {
                sleep(case.ttl / 10).await;
                assert!(guard.is_held(), "lost: {:?}", guard.check());
                assert_eq!(store.holds(), Some(guard.fence().number()));
                left = left.min(store.fates_left());
            }
            guard.release().await.unwrap();
            assert_eq!(store.size().1, 0);
            seen.assert_no_violations();
        });
    }

    /// Two processes with two tasks each. In the end every task has had the lock, and nothing is left.
    #[test]
    fn one_body_runs_at_a_time_and_fences_grow(case in case(), lasts in 0..1500_u32) {
        simulate(async move {
            let (store, seen) = (NetworkStore::new(case.pace), Seen::default());
            store.set_fates(case.fates.clone(), Fate::GOOD);
            let lasts = case.ttl * lasts / 1000;
            let mut tasks = Vec::new();
            for _ in 0..2 {
                let locks = client_in(&World::here(), Arc::new(store.clone()));
                tasks.extend((0..2).map(|_| contender(locks.clone(), &case, &store, &seen, lasts)));
            }
            let all = case.ttl * 200 + Duration::from_secs(200);
            run_until(&case, &store, &seen, all, || tasks.iter().all(JoinHandle::is_finished)).await;
            for task in tasks {
                time::timeout(Duration::from_secs(1), task).await.expect("a waiter never gets the lock").unwrap();
            }
            seen.assert_no_violations();
            // The last copy of a request may arrive after two TTLs, and the session that it renewed lapses after one more.
            sleep(case.ttl * 4).await;
            assert_eq!(store.size().1, 0, "orphaned entries");
            sleep(case.ttl * 5 + Duration::from_secs(200)).await;
            assert_eq!(store.size(), (0, 0), "unused sessions are still open");
        });
    }
}
