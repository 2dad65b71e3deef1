//! Use this to see what the crate reports about itself: `tracing` spans and events, and counters, histograms and gauges
//! through the `metrics` facade. `docs/observing.md` lists all of them.
//!
//! ```sh
//! cargo run --example metrics --features metrics
//! ```
//!
//! The recorder here prints; in a service it is an exporter's, that of Prometheus for instance.
#![expect(clippy::print_stdout, reason = "the output is what the example is for")]

use distributed_locks::{Error, Locks, distributed_lock};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use std::time::Duration;

/// Labels are the key's template and the function's name, not the job: a metric does not grow with the number of jobs.
#[distributed_lock(key = "/jobs/{job}", wait = 0, client = locks)]
async fn run(locks: &Locks, job: &str) -> Result<(), Error> {
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // First, or what happened before is lost.
    let recorder = DebuggingRecorder::new();
    let readings = recorder.snapshotter();
    recorder.install()?;

    let locks = Locks::connect(std::env::var("LOCKS_URL").unwrap_or_else(|_| "memory:".to_owned()))?;
    // Three jobs run; a second "a" is refused, because the first one runs.
    let (a, again, b, c) = tokio::join!(run(&locks, "a"), run(&locks, "a"), run(&locks, "b"), run(&locks, "c"));
    let refused = [&a, &again, &b, &c].into_iter().filter(|outcome| outcome.is_err()).count();

    let mut lines: Vec<String> = Vec::new();
    for (key, _, _, value) in readings.snapshot().into_vec() {
        let (_, key) = key.into_parts();
        let labels: Vec<String> = key.labels().map(|label| format!("{}={:?}", label.key(), label.value())).collect();
        let value = match value {
            DebugValue::Counter(count) => count.to_string(),
            DebugValue::Gauge(value) => value.to_string(),
            DebugValue::Histogram(values) => {
                format!("{} values, the greatest {:.3}", values.len(), values.into_iter().max().unwrap_or_default())
            }
        };
        lines.push(format!("{}{{{}}} {value}", key.name(), labels.join(", ")));
    }
    lines.sort();
    println!("{}", lines.join("\n"));
    locks.close().await;
    if refused == 1 { Ok(()) } else { Err(format!("{refused} of four were refused").into()) }
}
