//! From free to held and back.

use super::fixture::{Fixture, PACES, SOON, acquire, refused, soon};
use crate::api::locks::Locks;
use crate::values::error::ErrorKind;
use crate::world::runtime::blocking;
use std::future::pending;
use std::panic::resume_unwind;
use std::time::Duration;
use tokio::sync::oneshot;

list! {
    acquiring:
    |_| true => [
        a_free_lock_is_one_entry_and_none_after_its_release,
        a_busy_lock_is_refused_with_its_holder_and_nothing_is_left,
        a_wait_that_times_out_names_the_holder_and_withdraws,
        a_body_returns_its_value_after_the_release,
        a_body_panics_after_the_release,
        a_body_that_is_dropped_releases_the_lock,
        a_guard_that_is_dropped_releases_the_lock,
        the_same_key_inside_the_body_joins,
        waiting_in_a_circle_is_refused,
        it_works_without_a_runtime_and_beyond_one,
    ]
}

/// DESIGN, "free": one entry with a holder record; "body returns": it is gone once that was acknowledged.
async fn a_free_lock_is_one_entry_and_none_after_its_release(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    for name in ["first", "second"] {
        fixture.is_free("k").await;
        assert_eq!(theirs.inspect(&key).await.unwrap(), None);
        let guard = acquire(&ours, &key, name).await;
        guard.check().unwrap();
        assert_eq!(fixture.line("k").await, (vec![name.to_owned()], vec![]));
        let seen = theirs.inspect(&key).await.unwrap().unwrap();
        assert_eq!((seen.key.as_str(), seen.holders.len()), (key.as_str(), 1));
        guard.release().await.unwrap();
        fixture.is_free("k").await;
    }
}

async fn a_busy_lock_is_refused_with_its_holder_and_nothing_is_left(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let guard = acquire(&ours, &key, "us").await;
    for other in [&ours, &theirs] {
        for _ in 0..3 {
            let busy = refused(other.lock(&key).wait(Duration::ZERO).acquire().await, ErrorKind::Busy);
            assert_eq!(busy.holder().map(|holder| &*holder.name), Some("us"), "{busy}");
            assert_eq!(busy.key().map(|key| key.as_str().to_owned()), Some(key.clone()));
            assert!(other.lock(&key).try_acquire().await.unwrap().is_none());
            assert_eq!(
                fixture.line("k").await,
                (vec!["us".to_owned()], vec![]),
                "an attempt that was refused is still there"
            );
        }
    }
    guard.release().await.unwrap();
    fixture.is_free("k").await;
    let guard = theirs.lock(&key).try_acquire().await.unwrap();
    guard.expect("the lock was free").release().await.unwrap();
}

async fn a_wait_that_times_out_names_the_holder_and_withdraws(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let guard = acquire(&ours, &key, "us").await;
    // A store that is asked for the first time may take longer than the wait to answer at all.
    acquire(&theirs, &fixture.key("other"), "them").await.release().await.unwrap();
    for other in [&ours, &theirs] {
        let mut in_time = false;
        for wait in PACES {
            in_time = in_time || times_out(fixture, other, &key, wait).await;
        }
        assert!(in_time, "the store never answered in time");
        fixture.until("k", &["us"], 0).await;
    }
    guard.check().unwrap();
    guard.release().await.unwrap();
    fixture.is_free("k").await;
}

/// Waits for a lock that "us" holds; returns whether the store answered in so short a time.
async fn times_out(fixture: &Fixture, locks: &Locks, key: &str, wait: Duration) -> bool {
    let begun = fixture.world().now();
    let late = locks.lock(key).wait(wait).acquire().await.unwrap_err();
    let took = fixture.world().now().since(begun);
    assert!(took >= wait && took < wait + SOON, "a wait of {wait:?} took {took:?}");
    if late.kind() == ErrorKind::Unavailable {
        return false;
    }
    assert_eq!(late.kind(), ErrorKind::Timeout, "{late:?}");
    assert_eq!(late.holder().map(|holder| &*holder.name), Some("us"), "{late}");
    assert!(late.to_string().contains(&format!("{wait:?}")), "does not say how long: {late}");
    true
}

async fn a_body_returns_its_value_after_the_release(fixture: &Fixture) {
    let (locks, key) = (fixture.client(), fixture.key("k"));
    for round in 0..5 {
        let value = locks.lock(&key).name("body").run(|guard| async move {
            guard.check().unwrap();
            (round, fixture.line("k").await)
        });
        assert_eq!(value.await.unwrap(), (round, (vec!["body".to_owned()], vec![])));
        fixture.is_free("k").await;
    }
}

async fn a_body_panics_after_the_release(fixture: &Fixture) {
    let (locks, key) = (fixture.client(), fixture.key("k"));
    let inner = locks.lock(&key);
    let panicked = tokio::spawn(async move {
        // Without the hook, which would print it.
        inner.run(|_| async { resume_unwind(Box::new("the body's own")) }).await.map(|(): ()| ())
    });
    let panic = soon("the panic", panicked).await.unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"the body's own"));
    fixture.is_free("k").await;
    acquire(&locks, &key, "next").await.release().await.unwrap();
}

async fn a_body_that_is_dropped_releases_the_lock(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let (begun, running) = oneshot::channel();
    let body = ours.lock(&key).name("us").run(|_| async {
        begun.send(()).unwrap();
        pending::<()>().await;
    });
    tokio::select! {
        _ = body => panic!("the body has no end"),
        running = soon("the body", running) => running.unwrap(),
    }
    fixture.until("k", &[], 0).await;
    acquire(&theirs, &key, "them").await.release().await.unwrap();
}

async fn a_guard_that_is_dropped_releases_the_lock(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    for _ in 0..3 {
        drop(acquire(&ours, &key, "us").await);
        drop(acquire(&theirs, &key, "them").await);
    }
    fixture.until("k", &[], 0).await;
}

async fn the_same_key_inside_the_body_joins(fixture: &Fixture) {
    let (ours, theirs, key) = (&fixture.client(), &fixture.client(), &fixture.key("k"));
    let outer = ours.lock(key).name("outer").run(|outer| async move {
        let inner = ours.lock(key).name("inner").run(|inner| async move { inner.fence() });
        assert_eq!(soon("the inner body", inner).await.unwrap(), outer.fence());
        ours.lock(key).acquire().await.unwrap().release().await.unwrap();
        outer.check().unwrap();
        assert_eq!(fixture.line("k").await, (vec!["outer".to_owned()], vec![]), "the inner one released it");
        assert!(theirs.lock(key).try_acquire().await.unwrap().is_none(), "another client does not join");
    });
    outer.await.unwrap();
    fixture.is_free("k").await;
}

async fn waiting_in_a_circle_is_refused(fixture: &Fixture) {
    let locks = fixture.client();
    let meeting = std::sync::Arc::new(tokio::sync::Barrier::new(2));
    let crossing = |first: &str, second: &str| {
        let (first, second) = (locks.lock(fixture.key(first)), locks.lock(fixture.key(second)));
        let meeting = std::sync::Arc::clone(&meeting);
        async move {
            let body = |_| async move {
                meeting.wait().await;
                second.run(|_| async {}).await
            };
            first.run(body).await.unwrap()
        }
    };
    let both = Box::pin(async { tokio::join!(crossing("a", "b"), crossing("b", "a")) });
    let (ab, ba) = soon("the end of a deadlock", both).await;
    let errors: Vec<_> = [ab, ba].into_iter().filter_map(Result::err).collect();
    assert_eq!(errors.len(), 1, "one is refused and the other goes on: {errors:?}");
    assert_eq!(errors[0].kind(), ErrorKind::Deadlock);
    fixture.is_free("a").await;
    fixture.is_free("b").await;
}

/// A store's futures are first polled wherever the caller happens to be.
async fn it_works_without_a_runtime_and_beyond_one(fixture: &Fixture) {
    let (locks, key) = (fixture.client(), fixture.key("k"));
    let (inner, name) = (locks.clone(), key.clone());
    let plain = move || {
        let guard = blocking(inner.lock(&name).acquire()).unwrap();
        blocking(guard.release()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let guard = runtime.block_on(inner.lock(&name).name("beyond").acquire()).unwrap();
        drop(runtime);
        guard
    };
    let (sender, receiver) = oneshot::channel();
    let thread = std::thread::Builder::new().spawn(move || drop(sender.send(plain()))).unwrap();
    let guard = soon("the thread", receiver).await.unwrap();
    thread.join().unwrap();
    assert_eq!(fixture.line("k").await.0, ["beyond"]);
    guard.check().unwrap();
    guard.release().await.unwrap();
    acquire(&locks, &key, "here").await.release().await.unwrap();
    fixture.is_free("k").await;
}
