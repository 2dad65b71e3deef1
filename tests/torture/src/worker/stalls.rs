//! Notices when this process, or its application's runtime, was not scheduled: stopped, starved or blocked.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Nanos, now};
use crate::history::{EventKind, Recorder};

/// How often each of them looks at the clock.
const TICK: Duration = Duration::from_millis(10);

/// The shortest stall that is recorded. The locks leave more time than this between their deadline and the end of the TTL.
const SHORTEST: Nanos = 100_000_000;

/// Watches the process and the runtime until they end.
pub fn watch(recorder: &Arc<Recorder>) {
    watch_process(recorder);
    let runtime = recorder.clone();
    tokio::spawn(async move {
        let mut last = now();
        loop {
            tokio::time::sleep(TICK).await;
            last = record_if_stalled(&runtime, last, false);
        }
    });
}

/// Watches the process for as long as anybody else records what happens in it.
pub(super) fn watch_process(recorder: &Arc<Recorder>) {
    let process = Arc::downgrade(recorder);
    std::thread::spawn(move || {
        let mut last = now();
        loop {
            std::thread::sleep(TICK);
            let Some(process) = process.upgrade() else { return };
            last = record_if_stalled(&process, last, true);
        }
    });
}

/// Records a stall since `from`, if it was one, and returns the time.
fn record_if_stalled(recorder: &Recorder, from: Nanos, process: bool) -> Nanos {
    let to = now();
    if to - from > SHORTEST {
        recorder.record_at(to, EventKind::Stalled { from, to, process });
    }
    to
}
