//! Spans, events and metrics, by name: what a person on call relies on.

#![expect(clippy::unwrap_used, reason = "a test whose preparation fails has failed")]

use distributed_locks::testing::TestStore;
use distributed_locks::{Error, Guard, Locks, distributed_lock};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;
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

#[distributed_lock(key = "/observed/{job}", client = locks, wait = 0, name = "the job")]
async fn skipped_if_busy(locks: &Locks, job: &str) {
    tracing::info!("in the body of {job}");
}

#[tokio::test(start_paused = true)]
async fn the_span_is_around_the_body_and_tells_the_fence() {
    let (log, _logging) = logging();
    skipped_if_busy(&TestStore::new().client(), "a").await;
    let text = log.text();
    let body = text.lines().find(|line| line.contains("in the body")).unwrap();
    for part in ["lock{", "key=/observed/a", "name=\"the job\"", "mode=exclusive", "wait=0ns", "fence="] {
        assert!(body.contains(part), "{part} in {body}");
    }
    assert!(text.contains("lock acquired") && text.contains("lock released") && text.contains("outcome=\"released\""));
}

#[tokio::test(start_paused = true)]
async fn a_skipped_function_without_a_value_says_so_once() {
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
    let recorder = DebuggingRecorder::new();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let store = TestStore::new();
    let guard = store.client().lock("k").name("first").acquire().await.unwrap();
    let other = store.client();
    let waiting = async { other.lock("k").name("second").wait(Duration::from_secs(100)).acquire().await };
    let (error, ()) = tokio::join!(async { waiting.await.err() }, async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(measured_for("second", &recorder)["locks_waiting"], DebugValue::Gauge(1.0.into()));
        store.faults().set_down(true);
        guard.lost().await;
    });
    assert!(error.is_some());
    let mut seen = measured_for("second", &recorder);
    // One less than at the last reading, which was one.
    assert_eq!(seen.remove("locks_waiting"), Some(DebugValue::Gauge((-1.0).into())));
}
