//! Notices when this process, or its application's runtime, got no turn: stopped, starved or blocked.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Nanos, now};
use crate::history::{Recorder, What};

/// How often each side shows that it lives.
const TICK: Duration = Duration::from_millis(10);

/// What is told. The locks leave more than this between their deadline and the end of the TTL.
const LONG: Nanos = 100_000_000;

/// Watches until the process ends.
pub fn watch(recorder: &Arc<Recorder>) {
    let (process, runtime) = (recorder.clone(), recorder.clone());
    std::thread::spawn(move || {
        let mut last = now();
        loop {
            std::thread::sleep(TICK);
            last = tell(&process, last, true);
        }
    });
    tokio::spawn(async move {
        let mut last = now();
        loop {
            tokio::time::sleep(TICK).await;
            last = tell(&runtime, last, false);
        }
    });
}

fn tell(recorder: &Recorder, from: Nanos, process: bool) -> Nanos {
    let to = now();
    if to - from > LONG {
        recorder.record_at(to, What::Stalled { from, to, process });
    }
    to
}
