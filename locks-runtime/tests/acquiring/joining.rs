//! Joining a hold that the task runs under already.

use crate::seconds;
use locks_runtime::__private::{self as private, Given, Site};
use locks_runtime::testing::TestStore;
use locks_runtime::{Error, ErrorKind, Guard, Locks, OnLost, Options};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

static SITE: Site = Site { name: "inner", template: "k", origin: "inner.rs:1", options: Options::DEFAULT };

/// As the attribute runs an `async fn`.
async fn call<Fut: Future>(
    options: Options,
    locks: &Locks,
    body: impl FnOnce(Guard) -> Fut,
) -> Result<Fut::Output, Error> {
    let held = Given::new(options).client(locks).acquiring(&SITE, private::key(&["k"], &[])).await?;
    let body = body(held.guard());
    held.run(body).await
}

/// As it runs a plain `fn`.
fn call_blocking<T>(options: Options, locks: &Locks, body: impl FnOnce(Guard) -> T) -> Result<T, Error> {
    Given::new(options).client(locks).call_blocking(&SITE, private::key(&["k"], &[]), body)
}

/// How many bodies run at the same time, at most.
#[derive(Clone, Default)]
struct Counter(Arc<[AtomicUsize; 2]>);

impl Counter {
    async fn body(self) {
        let running = self.0[0].fetch_add(1, Ordering::SeqCst) + 1;
        self.0[1].fetch_max(running, Ordering::SeqCst);
        sleep(seconds(1)).await;
        self.0[0].fetch_sub(1, Ordering::SeqCst);
    }

    fn most(&self) -> usize {
        self.0[1].load(Ordering::SeqCst)
    }
}

async fn inner(locks: &Locks, counter: &Counter) {
    let (counter, options) = (counter.clone(), Options::default());
    call(options, locks, |_| counter.body()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lost_hold_is_not_joined_by_any_kind_of_body() {
    let store = TestStore::new();
    let locks = store.client();
    let client = locks.clone();
    let outer = locks.lock("k").on_lost(OnLost::Continue).run(|guard| async move {
        store.expire_sessions();
        guard.lost().await;
        let options = Options { on_lost: OnLost::Continue, ..Options::default() };
        let joined = call(options, &client, |_| async {}).await;
        let plain = call_blocking(options, &client, |_| ());
        let run = client.lock("k").on_lost(OnLost::Continue).run(|_| async {}).await;
        let guard = client.lock("k").acquire().await.map(drop);
        [joined, plain, run, guard].map(|result| result.unwrap_err().kind())
    });
    assert_eq!(outer.await.unwrap(), [ErrorKind::Lost; 4]);
}

#[tokio::test(start_paused = true)]
async fn of_several_bodies_that_join_at_the_same_time_one_runs_at_a_time() {
    let locks = &TestStore::new().client();
    let counter = &Counter::default();
    let begun = Instant::now();
    let four =
        |_: Guard| async move { tokio::join!(inner(locks, counter), inner(locks, counter), inner(locks, counter)) };
    locks.lock("k").run(four).await.unwrap();
    assert_eq!((counter.most(), begun.elapsed().as_secs()), (1, 3));
}

/// Deeper ones join the one that they are inside of, and other locks between do not matter.
#[tokio::test(start_paused = true)]
async fn nested_joins_do_not_wait_for_themselves() {
    let locks = &TestStore::new().client();
    let counter = &Counter::default();
    let deeper = |_: Guard| async move {
        let between = locks.lock("between").run(|_| async move { inner(locks, counter).await });
        tokio::join!(inner(locks, counter), async { between.await.unwrap() }, inner(locks, counter))
    };
    let joined = |_: Guard| async move { locks.lock("k").run(deeper).await.unwrap() };
    let twice = |_: Guard| async move {
        tokio::join!(async { locks.lock("k").run(joined).await.unwrap() }, inner(locks, counter))
    };
    tokio::time::timeout(seconds(60), locks.lock("k").run(twice)).await.unwrap().unwrap();
    assert_eq!(counter.most(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_dropped_gives_its_turn_to_the_next_one() {
    let locks = &TestStore::new().client();
    let counter = &Counter::default();
    let body = |_: Guard| async move {
        let slow = locks.lock("k").run(|_| std::future::pending::<()>());
        let dropped = async { tokio::time::timeout(seconds(5), slow).await.unwrap_err() };
        tokio::join!(dropped, inner(locks, counter));
    };
    tokio::time::timeout(seconds(10), locks.lock("k").run(body)).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_inner_wait_limits_the_wait_for_the_turn() {
    let locks = &TestStore::new().client();
    let counter = &Counter::default();
    let body = |_: Guard| async move {
        let limited = |wait: Duration| locks.lock("k").wait(wait).run(|_| async {});
        tokio::join!(
            inner(locks, counter),
            limited(Duration::ZERO),
            limited(Duration::from_millis(500)),
            limited(seconds(5))
        )
    };
    let ((), tried, late, in_time) = locks.lock("k").run(body).await.unwrap();
    let (tried, late) = (tried.unwrap_err(), late.unwrap_err());
    assert_eq!((tried.kind(), &*tried.holder().unwrap().name), (ErrorKind::Busy, "inner"));
    assert_eq!((late.kind(), &*late.holder().unwrap().name), (ErrorKind::Timeout, "inner"));
    in_time.unwrap();
}

/// Inside one body: one has the turn and wants another lock, whose holder wants the turn.
#[tokio::test(start_paused = true)]
async fn a_circle_through_a_turn_is_a_deadlock() {
    let locks = &TestStore::new().client();
    let body = |_: Guard| async move {
        let cross = async |first: &'static str, second: &'static str| {
            let body = |_: Guard| async move {
                sleep(seconds(1)).await;
                locks.lock(second).run(|_| async {}).await
            };
            locks.lock(first).run(body).await.unwrap()
        };
        tokio::join!(cross("k", "other"), cross("other", "k"))
    };
    let crossed = tokio::time::timeout(seconds(60), locks.lock("k").run(body)).await.unwrap().unwrap();
    let errors: Vec<_> = [crossed.0, crossed.1].into_iter().filter_map(Result::err).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0].kind(), ErrorKind::Deadlock);
}

/// It would block the thread on which the other one has to go on.
#[tokio::test(start_paused = true)]
async fn a_plain_function_does_not_wait_for_a_future_of_its_own_task() {
    let locks = &TestStore::new().client();
    let counter = &Counter::default();
    let plain = |options| call_blocking(options, locks, |_| 42);
    let body = |_: Guard| async move {
        let plainly = async { plain(Options::default()) };
        (tokio::join!(inner(locks, counter), plainly).1, plain(Options::default()))
    };
    let (during, after) = locks.lock("k").run(body).await.unwrap();
    assert_eq!(during.unwrap_err().kind(), ErrorKind::Deadlock);
    assert_eq!(after.unwrap(), 42);
}

#[tokio::test(start_paused = true)]
async fn an_inner_hold_at_least_reaches_the_hold() {
    let store = TestStore::new();
    let (locks, other) = (&store.client(), store.client());
    let begun = Instant::now();
    let body = |_: Guard| async move {
        sleep(seconds(10)).await;
        locks.lock("k").hold_at_least(seconds(30)).run(|_| async {}).await.unwrap();
        locks.lock("k").hold_at_least(seconds(5)).run(|_| async {}).await.unwrap();
    };
    locks.lock("k").hold_at_least(seconds(20)).run(body).await.unwrap();
    assert!(begun.elapsed() < seconds(11));
    // Whatever becomes of the client.
    locks.close().await;
    other.lock("k").acquire().await.unwrap().release().await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 40);
}

#[tokio::test(start_paused = true)]
async fn an_inner_hold_at_least_that_the_store_refuses_fails_and_leaves_nothing() {
    let store = &TestStore::new();
    let locks = &store.client();
    let body = |_: Guard| async move {
        store.faults().set_full(true);
        let refused = locks.lock("k").hold_at_least(seconds(600)).run(|_| async {}).await.unwrap_err();
        store.faults().set_full(false);
        refused.kind()
    };
    assert_eq!(locks.lock("k").run(body).await.unwrap(), ErrorKind::Unavailable);
    locks.lock("k").wait(Duration::ZERO).acquire().await.unwrap().release().await.unwrap();
}
