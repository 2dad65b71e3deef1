//! A circle that not everybody in it can see, under paused time.
#![cfg(feature = "testing")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]

use locks_runtime::testing::TestStore;
use locks_runtime::{Error, ErrorKind, Locks};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Under the lock `held` it waits for the lock `wanted`, and does so when this returns.
async fn nested(locks: Locks, held: &'static str, wanted: &'static str) -> JoinHandle<Result<(), Error>> {
    let inner = locks.clone();
    let body = move |_| async move { inner.lock(wanted).acquire().await.map(drop) };
    let running = tokio::spawn(async move { locks.lock(held).run(body).await? });
    others_go_on().await;
    running
}

/// Records count milliseconds.
async fn others_go_on() {
    sleep(Duration::from_millis(1)).await;
}

/// A call for two locks waits for one of them; whoever holds that does not see who waits behind it for the other.
#[tokio::test(start_paused = true)]
async fn an_older_call_gives_way_where_the_youngest_does_not_see_the_circle() {
    let store = TestStore::new();
    let [first, second, both] = [store.client(), store.client(), store.client()];
    // `first` has `held`; `both` waits for it, first for `between`; `second` has `other` and waits behind that.
    let (closes, may_close) = tokio::sync::oneshot::channel::<()>();
    let inner = first.clone();
    let youngest = tokio::spawn(async move {
        let body = move |_| async move {
            may_close.await.unwrap();
            inner.lock("other").acquire().await.map(drop)
        };
        first.lock("held").run(body).await?
    });
    others_go_on().await;
    let waiting = tokio::spawn(both.lock_all(["between", "held"]).acquire());
    others_go_on().await;
    let older = nested(second, "other", "between").await;
    closes.send(()).unwrap();
    let closed = Instant::now();

    let error = timeout(Duration::from_secs(30), older).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadlock, "{error}");
    // Not at its second look, as the youngest would: that one could see it, too.
    assert!(closed.elapsed() >= Duration::from_secs(7), "{:?}", closed.elapsed());
    youngest.await.unwrap().unwrap();
    waiting.await.unwrap().unwrap().release().await.unwrap();
}
