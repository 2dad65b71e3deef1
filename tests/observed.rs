//! Spans, events and metrics, by name: what a person on call relies on.

#![expect(clippy::unwrap_used, reason = "a test whose preparation fails has failed")]

use distributed_locks::testing::TestStore;
use distributed_locks::{Error, ErrorKind, Guard, Locks, OnLost, distributed_lock};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use support::HANG_LIMIT;
use tokio::task::yield_now;
use tokio::time::sleep;
use tracing_subscriber::fmt::MakeWriter;

/// Everything that is logged on this thread, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Logs what this thread does, until the guard is dropped.
fn logging() -> (Log, tracing::subscriber::DefaultGuard) {
    let log = Log::default();
    let subscriber =
        tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).with_max_level(tracing::Level::DEBUG);
    (log, tracing::subscriber::set_default(subscriber.finish()))
}

/// What background threads log, and every other thread on which no test logs. Every test makes it first: where a thread without
/// any subscriber is the first to reach an event, `tracing` may remember that nobody wants it.
static BACKGROUND: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false);
    tracing::subscriber::set_global_default(subscriber.with_max_level(tracing::Level::TRACE).finish()).unwrap();
    log
});

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

#[tokio::test(start_paused = true)]
async fn a_loss_is_an_error_and_failing_renewals_are_warnings() {
    LazyLock::force(&BACKGROUND);
    let (log, _logging) = logging();
    let store = TestStore::new();
    let guard = store.client().lock("lost").acquire().await.unwrap();
    store.faults().set_down(true);
    guard.lost().await;
    let text = log.text();
    assert!(text.lines().any(|line| line.contains("WARN") && line.contains("could not be renewed")), "{text}");
    assert_eq!(
        text.lines().filter(|line| line.contains("ERROR") && line.contains("lost while held")).count(),
        1,
        "{text}"
    );
}

/// A client of a store that refuses it.
fn refusing() -> Locks {
    let store = TestStore::new();
    store.faults().set_refusing(true);
    store.client()
}

/// Why, in all its causes.
const CAUSE: &str = "db error: the user was removed";

/// Every line that is a warning or an error.
fn alarms(log: &Log) -> Vec<String> {
    log.text().lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).map(str::to_owned).collect()
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
async fn a_client_that_is_closed_loses_nothing() {
    LazyLock::force(&BACKGROUND);
    let (log, _logging) = logging();
    let recorder = DebuggingRecorder::new();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let store = TestStore::new();
    let locks = store.client();
    let guard = locks.lock("closed").name("closed").acquire().await.unwrap();
    // One body that is stopped, one that runs on, and one whose task was aborted just before.
    let cancelled = tokio::spawn(locks.lock("cancelled").name("closed").run(|_| std::future::pending::<()>()));
    let runs_on = locks.lock("continued").name("closed").on_lost(OnLost::Continue);
    let continued = tokio::spawn(runs_on.run(|guard| async move { guard.lost().await.kind() }));
    let aborted = tokio::spawn(locks.lock("aborted").name("closed").run(|_| std::future::pending::<()>()));
    sleep(Duration::from_secs(1)).await;
    aborted.abort();
    locks.close().await;
    let stopped = cancelled.await.unwrap().unwrap_err();
    assert_eq!((stopped.kind(), guard.check().unwrap_err().kind()), (ErrorKind::Closed, ErrorKind::Closed));
    assert!(stopped.to_string().contains("the client was closed") && !stopped.is_retryable(), "{stopped}");
    assert_eq!(continued.await.unwrap().unwrap(), ErrorKind::Closed);
    drop(guard);
    yield_now().await;
    assert_eq!(alarms(&log), [""; 0]);
    assert!(!measured_for("closed", &recorder).contains_key("locks_lost_total"));
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_passed_is_one_warning_and_no_loss() {
    LazyLock::force(&BACKGROUND);
    let (log, _logging) = logging();
    let recorder = DebuggingRecorder::new();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let locks = TestStore::new().client();
    for on_lost in [OnLost::Cancel, OnLost::Continue] {
        let lock = locks.lock("limited").name("limited").hold_at_most(Duration::from_secs(3)).on_lost(on_lost);
        let error = lock.run(|_| std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitPassed);
        assert!(error.to_string().contains("`hold_at_most`") && error.to_string().contains("3s"), "{error}");
        assert!(!error.is_retryable());
    }
    let guard = locks.lock("guard").name("limited").hold_at_most(Duration::from_secs(3)).acquire().await.unwrap();
    assert_eq!(guard.lost().await.kind(), ErrorKind::LimitPassed);
    // A body that joins a hold has a limit of its own.
    let inner = locks.clone();
    let outer = locks.lock("outer").run(|_| async move {
        inner.lock("outer").hold_at_most(Duration::from_secs(3)).run(|_| std::future::pending::<()>()).await
    });
    assert_eq!(outer.await.unwrap().unwrap_err().kind(), ErrorKind::LimitPassed);
    let alarms = alarms(&log);
    assert_eq!(alarms.len(), 4, "{alarms:?}");
    assert!(alarms.iter().all(|line| line.contains("WARN") && line.contains("`hold_at_most` passed")), "{alarms:?}");
    assert!(!measured_for("limited", &recorder).contains_key("locks_lost_total"));
    assert!(log.text().contains("outcome=\"limit_passed\""), "{}", log.text());
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
async fn what_others_wrote_reaches_a_log_in_one_visible_line() {
    LazyLock::force(&BACKGROUND);
    let (log, _logging) = logging();
    let store = TestStore::new();
    let name = "\u{1b}[2J\u{202e}root\r\nERROR forged";
    let key = "/k\u{202e}\u{200b}";
    let _held = store.client().lock(key).name(name).acquire().await.unwrap();
    let error = store.client().lock(key).wait(Duration::ZERO).acquire().await.unwrap_err();
    for text in [log.text(), format!("{error} {error:?}")] {
        let is_hidden = |c: char| (c.is_control() && c != '\n') || ('\u{200b}'..'\u{2070}').contains(&c);
        assert!(!text.contains(is_hidden), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("ERROR forged")), "{text}");
    }
    assert!(error.to_string().contains("\\u{1b}[2J\\u{202e}root\\r\\nERROR forged"), "{error}");
    assert_eq!(error.holder().unwrap().name, name, "for a program it is as it was written");
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

/// In the errors and events of connections that fail, of this crate's and of those that it uses. What is around the middle of the
/// password is what mistakes are made of.
#[tokio::test]
async fn no_password_is_in_an_error_or_an_event_of_connecting() {
    LazyLock::force(&BACKGROUND);
    let connecting = ["etcd", "redis", "zookeeper", "postgres"].map(|scheme| async move {
        for login in [
            "me:HERE",
            "me@corp:HERE",
            ":HERE",
            "HERE",
            "me@corp:a/HERE",
            "me@corp:a?HERE",
            "me:a#HERE",
            "me:a HERE%zz",
            "me:ü,HERE",
            "me:%2FHERE%40",
        ] {
            let login = login.replace("HERE", "xqzjxqzj");
            let locks = match Locks::connect(format!("{scheme}://{login}@127.0.0.1:9/app?connect_timeout=500ms")) {
                Ok(locks) => locks,
                Err(error) => {
                    assert!(!format!("{error} {error:?}").contains("xqzj"), "{scheme} {login}: {error:?}");
                    continue;
                }
            };
            let lock = locks.lock("k");
            let shown = format!("{locks:?} {lock:?}");
            let error = lock.acquire().await.unwrap_err();
            let shown = format!("{shown} {error} {error:?} {locks:?} {:?}", locks.lock("k"));
            assert!(error.kind() == ErrorKind::Unavailable && error.to_string().contains("127.0.0.1:9"), "{error:?}");
            assert!(!shown.contains("xqzj"), "{scheme} {login}: {shown}");
        }
    });
    for connected in connecting {
        connected.await;
    }
    let text = BACKGROUND.text();
    assert!(text.contains("TRACE") || text.contains("DEBUG"), "nothing was logged");
    let shown: Vec<_> = text.lines().filter(|line| line.contains("xqzj")).collect();
    assert_eq!(shown, [""; 0]);
}

/// A loss says which it was: the store refused, the store was silent, or the process did not run.
#[tokio::test(start_paused = true)]
async fn a_loss_says_what_there_was_instead_of_a_renewal() {
    LazyLock::force(&BACKGROUND);
    let ttl = Duration::from_secs(10);
    let lost = async |harm: &dyn Fn(&TestStore)| {
        let store = TestStore::new();
        let guard = store.client().lock("k").ttl(ttl).acquire().await.unwrap();
        sleep(ttl * 3).await;
        harm(&store);
        guard.lost().await.to_string()
    };
    let refused = lost(&|store| store.faults().set_down(true)).await;
    assert!(refused.contains("no renewal succeeded in time: the memory store is down"), "{refused}");
    let silent = lost(&|store| store.faults().set_silent(true)).await;
    assert!(silent.contains("the store did not acknowledge a renewal in time;"), "{silent}");

    let store = TestStore::new();
    let guard = store.client().lock("k").ttl(ttl).acquire().await.unwrap();
    sleep(ttl * 3).await;
    tokio::time::advance(ttl * 2).await;
    let paused = guard.check().unwrap_err().to_string();
    assert!(
        paused.contains("the process was paused, or got no processor, for ") && !paused.contains("store"),
        "{paused}"
    );
}

/// The reason is in the error, and the store is not asked a dozen times.
#[tokio::test(start_paused = true)]
async fn renewals_that_are_refused_are_warned_of_once_and_named_in_the_loss() {
    LazyLock::force(&BACKGROUND);
    let (log, _logging) = logging();
    let store = TestStore::new();
    let guard = store.client().lock("k").ttl(Duration::from_secs(10)).acquire().await.unwrap();
    store.faults().set_refusing(true);
    let lost = guard.lost().await;
    let reason = format!("no renewal succeeded in time: the memory store refuses the user: a test said so: {CAUSE}");
    assert!(lost.kind() == ErrorKind::Lost && lost.to_string().contains(&reason), "{lost}");
    let text = log.text();
    let refused: Vec<_> = text.lines().filter(|line| line.contains("could not be renewed")).collect();
    assert!((3..=9).contains(&refused.len()), "{text}");
    assert_eq!(refused.iter().filter(|line| line.contains("WARN") && line.contains(CAUSE)).count(), 1, "{text}");
}

/// A lock is acquired all the same; what differs is how long it outlives a process that dies.
#[tokio::test]
async fn a_ttl_that_the_store_cannot_keep_is_raised_and_said_so_once() {
    LazyLock::force(&BACKGROUND);
    let directory = tempfile::tempdir().unwrap();
    for url in ["memory:observed-ttl".to_owned(), format!("file://{}/locks", directory.path().display())] {
        let locks = Locks::connect(&url).unwrap();
        for _ in 0..3 {
            let lock = locks.lock("k").ttl(Duration::from_millis(1)).wait(HANG_LIMIT);
            lock.acquire().await.unwrap().release().await.unwrap();
        }
        locks.close().await;
    }
    let text = BACKGROUND.text();
    let raised: Vec<_> = text.lines().filter(|line| line.contains("no TTL as short")).collect();
    assert!(
        raised.len() == 2 && raised.iter().all(|line| line.contains("WARN") && line.contains("asked=1ms granted=")),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn renewals_that_succeed_again_are_told() {
    LazyLock::force(&BACKGROUND);
    let (log, _logging) = logging();
    let store = TestStore::new();
    let guard = store.client().lock("k").acquire().await.unwrap();
    for _ in 0..2 {
        store.faults().set_down(true);
        sleep(Duration::from_secs(5)).await;
        store.faults().set_down(false);
        sleep(Duration::from_secs(10)).await;
    }
    guard.check().unwrap();
    let alarms = alarms(&log);
    let told: Vec<_> = alarms.iter().map(|line| line.contains("renewed again")).collect();
    assert_eq!(told, [false, true, false, true], "{alarms:?}");
}

/// What was measured since the last time for the lock called `name`; a reading starts the counts anew.
fn measured_for(name: &str, recorder: &DebuggingRecorder) -> BTreeMap<String, DebugValue> {
    let all = recorder.snapshotter().snapshot().into_vec().into_iter();
    let mine = all.filter_map(|(key, _, _, value)| {
        let (_, key) = key.into_parts();
        let labels: BTreeMap<_, _> = key.labels().map(|label| (label.key(), label.value())).collect();
        let outcome = labels.get("outcome").map(|outcome| format!(" {outcome}")).unwrap_or_default();
        assert!(labels.get("key").is_none_or(|key| !key.contains("job-1")), "a rendered key: {labels:?}");
        (labels.get("name") == Some(&name)).then(|| (format!("{}{outcome}", key.name()), value))
    });
    mine.collect()
}

#[distributed_lock(key = "/measured/{job}", client = locks, wait = 0, name = "measured")]
async fn measured(locks: &Locks, job: &str) -> Result<(), Error> {
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn metrics_count_by_template_and_name() {
    LazyLock::force(&BACKGROUND);
    let recorder = DebuggingRecorder::new();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let store = TestStore::new();
    let locks = store.client();
    measured(&locks, "job-1").await.unwrap();
    let held: Guard = locks.lock("/measured/job-1").acquire().await.unwrap();
    measured(&locks, "job-1").await.unwrap_err();
    drop(held);
    let seen = measured_for("measured", &recorder);
    assert_eq!(seen["locks_acquisitions_total acquired"], DebugValue::Counter(1));
    assert_eq!(seen["locks_acquisitions_total busy"], DebugValue::Counter(1));
    assert_eq!(seen["locks_held"], DebugValue::Gauge(0.0.into()));
    assert!(matches!(&seen["locks_hold_seconds"], DebugValue::Histogram(values) if values.len() == 1));
    assert!(matches!(&seen["locks_wait_seconds"], DebugValue::Histogram(values) if values.len() == 1));
}

#[tokio::test(start_paused = true)]
async fn waiters_and_losses_are_measured() {
    LazyLock::force(&BACKGROUND);
    let recorder = DebuggingRecorder::new();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let store = TestStore::new();
    let guard = store.client().lock("k").name("first").acquire().await.unwrap();
    let other = store.client();
    let waiting = async { other.lock("k").name("second").wait(Duration::from_secs(100)).acquire().await };
    let (error, ()) = tokio::join!(async { waiting.await.err() }, async {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(measured_for("second", &recorder)["locks_waiting"], DebugValue::Gauge(1.0.into()));
        store.faults().set_down(true);
        guard.lost().await;
    });
    assert!(error.is_some());
    let mut seen = measured_for("second", &recorder);
    // One less than at the last reading, which was one.
    assert_eq!(seen.remove("locks_waiting"), Some(DebugValue::Gauge((-1.0).into())));
}
