//! The span and its fields, and what is told of a function that did not run.

use crate::log::{BACKGROUND, CAUSE, Log, logging, refusing};
use distributed_locks::testing::TestStore;
use distributed_locks::{ErrorKind, Locks, Mode, distributed_lock};
use std::sync::LazyLock;
use std::time::Duration;

#[distributed_lock(key = "/observed/{job}", client = locks, wait = 0, name = "the job")]
async fn skipped_if_busy(locks: &Locks, job: &str) {
    tracing::info!("in the body of {job}");
}

#[tokio::test(start_paused = true)]
async fn the_span_is_around_the_body_and_tells_the_fence() {
    LazyLock::force(&BACKGROUND);
    let (log, _logging) = logging();
    skipped_if_busy(&TestStore::new().client(), "a").await;
    let text = log.text();
    let body = text.lines().find(|line| line.contains("in the body")).unwrap();
    for part in
        ["lock{", "key=/observed/a", "lock.name=\"the job\"", "mode=exclusive", "wait=0ns", "wait_ms=0", "fence="]
    {
        assert!(body.contains(part), "{part} in {body}");
    }
    assert!(text.contains("lock acquired") && text.contains("lock released") && text.contains("outcome=\"released\""));
}

#[tokio::test(start_paused = true)]
async fn the_span_has_the_mode() {
    LazyLock::force(&BACKGROUND);
    for (mode, shown) in [(Mode::Shared, "mode=shared "), (Mode::Permits(3), "mode=a permit of 3 ")] {
        let (log, _logging) = logging();
        let locks = TestStore::new().client();
        locks.lock("/observed/mode").mode(mode).run(async |_| tracing::info!("in the body")).await.unwrap();
        let text = log.text();
        let body = text.lines().find(|line| line.contains("in the body")).unwrap();
        assert!(body.contains(shown), "{shown} in {body}");
    }
}

/// A field called `name` would be overwritten there by the span's own.
#[tokio::test(start_paused = true)]
async fn in_json_a_span_has_its_own_name_and_that_of_the_lock() {
    LazyLock::force(&BACKGROUND);
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().json().with_writer(log.clone()).with_max_level(tracing::Level::DEBUG);
    let logging = tracing::subscriber::set_default(subscriber.finish());
    skipped_if_busy(&TestStore::new().client(), "json").await;
    drop(logging);
    let text = log.text();
    let body = text.lines().find(|line| line.contains("in the body")).unwrap();
    let span = serde_json::from_str::<serde_json::Value>(body).unwrap()["span"].clone();
    assert_eq!((&span["name"], &span["lock.name"]), (&"lock".into(), &"the job".into()), "{span}");
    assert_eq!((&span["key"], &span["wait_ms"]), (&"/observed/json".into(), &0.into()), "{span}");
}

#[tokio::test(start_paused = true)]
async fn a_skipped_function_without_a_value_says_so_once() {
    LazyLock::force(&BACKGROUND);
    let (log, _logging) = logging();
    let store = TestStore::new();
    let _held = store.client().lock("/observed/b").name("another").acquire().await.unwrap();
    skipped_if_busy(&store.client(), "b").await;
    let text = log.text();
    let skipped: Vec<_> = text.lines().filter(|line| line.contains("locked function skipped")).collect();
    assert_eq!(skipped.len(), 1, "{text}");
    assert!(skipped[0].contains("INFO") && skipped[0].contains("another"), "{}", skipped[0]);
}

#[distributed_lock(key = "/observed/{job}", client = locks, wait = "3s", name = "the job")]
async fn skipped_if_unavailable(locks: &Locks, job: &str) {
    tracing::info!("in the body of {job}");
}

#[distributed_lock(key = "/observed/{job}", client = locks, hold_at_most = "3s", name = "the job")]
async fn never_ends(locks: &Locks, job: &str) -> Option<()> {
    tracing::info!("in the body of {job}");
    std::future::pending().await
}

/// Nothing else than the event can say so.
#[tokio::test(start_paused = true)]
async fn a_function_that_is_skipped_names_itself_its_key_and_the_cause() {
    LazyLock::force(&BACKGROUND);
    let (log, _logging) = logging();
    skipped_if_unavailable(&refusing(), "c").await;
    assert_eq!(never_ends(&TestStore::new().client(), "d").await, None);
    skipped_if_unavailable(&TestStore::new().client(), "").await;
    let text = log.text();
    let line = |what: &str| text.lines().find(|line| line.contains(what)).unwrap();
    let failed = line("did not run to its end");
    for part in ["ERROR", "key=/observed/c", "lock.name=\"the job\"", "outcome=\"unauthorized\"", CAUSE] {
        assert!(failed.contains(part), "{part} in {failed}");
    }
    let stopped = line("locked function stopped");
    for part in ["WARN", "key=/observed/d", "lock.name=\"the job\"", "outcome=\"limit_passed\""] {
        assert!(stopped.contains(part), "{part} in {stopped}");
    }
    let nameless = text.lines().rfind(|line| line.contains("did not run to its end")).unwrap();
    assert!(nameless.contains("lock.name=\"the job\"") && nameless.contains("`{job}` is empty"), "{nameless}");
}

/// What a driver says for itself is often only "db error".
#[tokio::test(start_paused = true)]
async fn an_event_has_the_whole_chain_of_causes_in_one_line() {
    LazyLock::force(&BACKGROUND);
    let (log, _logging) = logging();
    let error = refusing().lock("k").acquire().await.unwrap_err();
    assert!(format!("{error:?}").ends_with(CAUSE), "{error:?}");
    let text = log.text();
    let line = text.lines().find(|line| line.contains("lock not acquired")).unwrap();
    assert!(line.contains(&format!("cause={CAUSE}")), "{line}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_named() {
    LazyLock::force(&BACKGROUND);
    let store = TestStore::new();
    store.faults().set_silent(true);
    let error = store.client().lock("k").wait(Duration::from_secs(3)).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("the store did not answer within 3s"), "{error}");
}

#[distributed_lock(key = "/observed/order/first/{name}", client = locks)]
async fn first(locks: &Locks, name: &str, then: bool) -> Result<(), distributed_locks::Error> {
    if then { Box::pin(second(locks, name, false)).await } else { Ok(()) }
}

#[distributed_lock(key = "/observed/order/second/{name}", client = locks)]
async fn second(locks: &Locks, name: &str, then: bool) -> Result<(), distributed_locks::Error> {
    if then { Box::pin(first(locks, name, false)).await } else { Ok(()) }
}

/// They never met, and never had one lock: what they could do is reported all the same, and once.
#[tokio::test(start_paused = true)]
async fn locks_in_both_orders_are_reported_once_before_they_meet() {
    LazyLock::force(&BACKGROUND);
    let (log, _logging) = logging();
    let locks = TestStore::new().client();
    let reports = |log: &Log| log.text().lines().filter(|line| line.contains("in both orders")).count();
    first(&locks, "a", true).await.unwrap();
    assert_eq!(reports(&log), 0);
    for name in ["b", "c"] {
        second(&locks, name, true).await.unwrap();
        first(&locks, name, true).await.unwrap();
    }
    let text = log.text();
    assert_eq!(reports(&log), 1, "{text}");
    for part in ["WARN", "/observed/order/first/{name}", "/observed/order/second/{name}", "tests/observed/events.rs:"] {
        assert!(text.lines().any(|line| line.contains("in both orders") && line.contains(part)), "{part} in {text}");
    }
}
