//! Metrics, by name and label.

use crate::log::BACKGROUND;
use distributed_locks::testing::TestStore;
use distributed_locks::{Error, Guard, Locks, distributed_lock};
use metrics::{Counter, Gauge, Histogram, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;
use tokio::time::sleep;

/// What was measured since the last time for the lock called `name`; a reading starts the counts anew.
pub(crate) fn measured_for(name: &str, recorder: &DebuggingRecorder) -> BTreeMap<String, DebugValue> {
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

/// What is described to a recorder: the unit of each metric.
#[derive(Default)]
struct Described(Mutex<BTreeMap<String, &'static str>>);

impl Described {
    fn add(&self, kind: &str, key: &KeyName, unit: Option<Unit>, meaning: &SharedString) {
        assert!(unit.is_some() && !meaning.is_empty(), "{key:?} has no unit, or no description");
        // The page says of what the counts are.
        let unit = if unit == Some(Unit::Seconds) { "seconds" } else { "count" };
        self.0.lock().unwrap().insert(format!("{} {kind}", key.as_str()), unit);
    }
}

impl Recorder for Described {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, meaning: SharedString) {
        self.add("counter", &key, unit, &meaning);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, meaning: SharedString) {
        self.add("gauge", &key, unit, &meaning);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, meaning: SharedString) {
        self.add("histogram", &key, unit, &meaning);
    }

    fn register_counter(&self, _: &metrics::Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &metrics::Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &metrics::Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// By a client, to the recorder that was there before; as the page has them, no more and no less.
#[tokio::test(start_paused = true)]
async fn the_metrics_that_are_described_are_those_of_the_page() {
    let described = Described::default();
    metrics::with_local_recorder(&described, || drop(TestStore::new().client()));
    let page = include_str!("../../docs/observing.md");
    let table = page.lines().skip_while(|line| !line.starts_with("| name | type | unit")).skip(2);
    let rows = table.take_while(|line| line.starts_with('|')).map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let unit = if cells[3] == "seconds" { "seconds" } else { "count" };
        (format!("{} {}", cells[1].trim_matches('`'), cells[2]), unit)
    });
    assert_eq!(described.0.into_inner().unwrap(), rows.collect());
}

/// What is measured was described before.
#[tokio::test(start_paused = true)]
async fn every_metric_is_described() {
    LazyLock::force(&BACKGROUND);
    let recorder = DebuggingRecorder::new();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let store = TestStore::new();
    let locks = store.client();
    measured(&locks, "job-1").await.unwrap();
    let held: Guard = locks.lock("k").acquire().await.unwrap();
    locks.lock("k").wait(Duration::from_secs(1)).acquire().await.unwrap_err();
    drop(held);
    let page = include_str!("../../docs/observing.md");
    for (key, unit, meaning, _) in recorder.snapshotter().snapshot().into_vec() {
        let (_, key) = key.into_parts();
        let name = key.name();
        let shown = match unit {
            Some(Unit::Seconds) => "| seconds |",
            Some(_) => "| ",
            None => panic!("{name} has no unit"),
        };
        assert!(meaning.is_some_and(|meaning| !meaning.is_empty()), "{name} has no description");
        assert!(page.lines().any(|row| row.contains(&format!("`{name}`")) && row.contains(shown)), "{name}: no row");
    }
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

#[tokio::test(start_paused = true)]
async fn who_leads_is_measured_and_ends_with_the_proof_of_it() {
    LazyLock::force(&BACKGROUND);
    let recorder = DebuggingRecorder::new();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let store = TestStore::new();
    // A reading shows by how much it has changed since the last one.
    let changed = |name: &str| match measured_for(name, &recorder).remove("leader_election_master_status") {
        Some(DebugValue::Gauge(change)) => change.into_inner(),
        other => panic!("{other:?}"),
    };
    let campaign = |name: &'static str| {
        let election = store.client().leader("k").name(name).ttl(Duration::from_secs(10));
        async move { election.run(|_| std::future::pending::<()>()).await }
    };
    let mut first = Box::pin(campaign("first"));
    let mut second = Box::pin(campaign("second"));
    let moment = Duration::from_millis(100);
    assert!(tokio::time::timeout(moment, &mut first).await.is_err());
    assert!(tokio::time::timeout(moment, &mut second).await.is_err());
    assert_eq!((changed("first"), changed("second")), (1.0, 0.0));
    store.faults().set_down(true);
    // Nobody polls the body, as where it blocks the thread: who asks for the metric sees that the leadership is over.
    sleep(Duration::from_secs(10)).await;
    assert_eq!(changed("first"), -1.0);
}

#[tokio::test(start_paused = true)]
async fn work_that_is_done_once_is_counted_by_what_came_of_it() {
    LazyLock::force(&BACKGROUND);
    let recorder = DebuggingRecorder::new();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let store = TestStore::new();
    let locks = store.client();
    let work = || locks.once("/migrate").name("migrate");
    let failed = work().run(async |_| Err::<(), Box<dyn std::error::Error>>("no table".into())).await;
    assert_eq!(failed.unwrap_err().to_string(), "no table");
    for _ in 0..3 {
        work().run(async |_| Ok::<_, Error>(())).await.unwrap();
    }
    let mut seen = measured_for("migrate", &recorder);
    let counts = ["failed", "ran", "already_done"].map(|outcome| seen.remove(&format!("locks_once_total {outcome}")));
    assert_eq!(counts, [1, 1, 2].map(|count| Some(DebugValue::Counter(count))));
}

/// In no order: the readings of both gauges, which were set lately.
fn oldest(name: &str, recorder: &DebuggingRecorder) -> (f64, f64) {
    let mut seen = measured_for(name, recorder);
    let [hold, wait] =
        ["locks_oldest_hold_seconds", "locks_oldest_wait_seconds"].map(|gauge| match seen.remove(gauge) {
            Some(DebugValue::Gauge(age)) => age.into_inner(),
            other => panic!("{gauge}: {other:?}"),
        });
    (hold, wait)
}

/// A lock that is stuck shows while it is stuck, also behind others of its name that are not.
#[tokio::test(start_paused = true)]
async fn the_oldest_hold_and_wait_are_measured_while_they_last() {
    LazyLock::force(&BACKGROUND);
    let recorder = DebuggingRecorder::new();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let begun = tokio::time::Instant::now();
    let stuck = ours.lock("/oldest/stuck").name("oldest").acquire().await.unwrap();
    let waiting = tokio::spawn(theirs.lock("/oldest/stuck").name("oldest").acquire());
    for _ in 0..100 {
        ours.lock("/oldest/other").name("oldest").run(|_| sleep(Duration::from_secs(1))).await.unwrap();
    }
    let lasts = begun.elapsed().as_secs_f64();
    let (hold, wait) = oldest("oldest", &recorder);
    for age in [hold, wait] {
        assert!((lasts - 5.0..=lasts).contains(&age), "{age} of {lasts}");
    }
    stuck.release().await.unwrap();
    let next = waiting.await.unwrap().unwrap();
    sleep(Duration::from_secs(6)).await;
    let (hold, wait) = oldest("oldest", &recorder);
    assert!((1.0..=6.0).contains(&hold) && wait == 0.0, "{hold}, {wait}");
    next.release().await.unwrap();
    sleep(Duration::from_secs(6)).await;
    assert_eq!(oldest("oldest", &recorder), (0.0, 0.0));
    // Nobody looks any more, until somebody holds or waits again: also one that has no answer.
    sleep(Duration::from_secs(60)).await;
    store.faults().set_silent(true);
    let silent = tokio::spawn(ours.lock("/oldest/silent").name("oldest").wait(Duration::from_secs(60)).acquire());
    sleep(Duration::from_secs(20)).await;
    let (hold, wait) = oldest("oldest", &recorder);
    assert!(hold == 0.0 && wait >= 15.0, "{hold}, {wait}");
    silent.abort();
}
