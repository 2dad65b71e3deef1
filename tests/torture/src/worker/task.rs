//! One task of a worker: one call after the other, each of another kind.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use distributed_locks::Mode;
use tokio::time::timeout;

use super::body::Body;
use super::{Tested, Worker, next_call};
use crate::history::{EventKind, Outcome, Recorder, Wait};
use crate::lock::wanted::{self, Shares};
use crate::lock::{Failure, Request, Style, Wanted};
use crate::random::Random;
use crate::workers::LONG;

/// Longer than any run.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Makes calls until the worker is told to stop.
pub(super) async fn run(worker: Arc<Worker>, (key, all): (String, Vec<String>), seed: u64, name: String) {
    let mut random = Random::new(seed, &name);
    // Those of the same length: nobody waits for a long body because of a lock for short ones.
    let is_alike = |other: &&String| other.ends_with(LONG) == key.ends_with(LONG);
    let alike: Vec<String> = all.iter().filter(is_alike).cloned().collect();
    while !worker.is_stopping() {
        let wanted = choose_locks(worker.shares(), &key, &alike, &mut random);
        let outcome = call(&worker, wanted, &mut random).await;
        let pause = match outcome {
            Outcome::Ran | Outcome::Panicked | Outcome::Lost | Outcome::Limited => random.millis(0, 30),
            _ => random.millis(20, 150),
        };
        tokio::time::sleep(pause).await;
    }
}

async fn call(worker: &Arc<Worker>, wanted: Wanted, random: &mut Random) -> Outcome {
    let call = next_call();
    let (style, wait) = match choose(random) {
        // Who leads has one lock, and that alone.
        (Style::Leading, wait) if !wanted.is_alone() => (Style::Cancelled, wait),
        chosen => chosen,
    };
    let key = wanted.key();
    let dropped_after = dropped_after(style, random);
    let body = Body {
        call,
        wanted: wanted.clone(),
        length: length(key, random),
        outlast: key.ends_with(LONG).then(|| worker.outlast.clone()),
        panics: random.percent(6),
        recorder: worker.recorder.clone(),
        register: worker.register.clone(),
        random: random.clone(),
    };
    let running = worker.lock().run(Request { wanted, wait, style, body });
    // A naive lock with a line says by itself when it is in it.
    let is_known = style != Style::Blocking && !matches!(worker.locks, Tested::InLine(_));
    let recorder = is_known.then(|| worker.recorder.clone());
    let running = record_queued(recorder, call, running);
    // A task of its own, so that a panic ends the call and not the worker.
    let running = tokio::spawn(async move { timeout(dropped_after, running).await });
    let (outcome, error) = match running.await {
        Ok(Ok(Ok(()))) => (Outcome::Ran, String::new()),
        Ok(Ok(Err(Failure { outcome, message }))) => (outcome, message),
        Ok(Err(_)) => (Outcome::Abandoned, String::new()),
        Err(ended) if ended.is_panic() => (Outcome::Panicked, String::new()),
        Err(ended) => (Outcome::Failed, ended.to_string()),
    };
    worker.recorder.record(EventKind::Returned { call, outcome, error });
    outcome
}

/// Runs the call, and records when its first poll has put it into the process's queue.
async fn record_queued<T>(recorder: Option<Arc<Recorder>>, call: u64, running: impl Future<Output = T>) -> T {
    let mut running = pin!(running);
    if let Poll::Ready(result) = poll_fn(|context| Poll::Ready(running.as_mut().poll(context))).await {
        return result;
    }
    if let Some(recorder) = recorder {
        recorder.record(EventKind::Queued { call });
    }
    running.await
}

/// The lock, or several that are alike, and as what.
fn choose_locks(shares: Shares, key: &str, alike: &[String], random: &mut Random) -> Wanted {
    let mut wanted = Wanted::alone(key);
    let drawn = random.between(0, 100);
    wanted.mode = if drawn < shares.shared {
        Mode::Shared
    } else if drawn < shares.shared + shares.permits {
        wanted::permits(random)
    } else {
        Mode::Exclusive
    };
    if random.percent(shares.several) {
        wanted.keys = wanted::several(key, alike, random);
    }
    wanted
}

/// The kind of function that is called, and how long it waits.
fn choose(random: &mut Random) -> (Style, Wait) {
    match random.between(0, 100) {
        0..37 => (Style::Cancelled, Wait::Forever),
        37..45 => (Style::Leading, Wait::Forever),
        45..55 => (Style::Cancelled, Wait::Never),
        55..70 => (Style::Cancelled, Wait::Millis(random.between(1, 4_000))),
        70..80 => (Style::AtMost(random.millis(20, 4_000)), Wait::Forever),
        80..88 => (Style::Continuing, Wait::Forever),
        _ => (Style::Blocking, Wait::Forever),
    }
}

/// When the caller drops the call, at whatever point it is. A call that blocks cannot be dropped.
fn dropped_after(style: Style, random: &mut Random) -> Duration {
    match style {
        Style::Blocking => NEVER,
        _ if random.percent(10) => random.millis(0, 3_000),
        _ => NEVER,
    }
}

/// Most bodies are short, and some are longer than a TTL.
fn length(key: &str, random: &mut Random) -> Duration {
    match random.between(0, 100) {
        0..40 if key.ends_with(LONG) => random.millis(3_000, 9_000),
        0..60 => random.millis(0, 6),
        60..75 => random.millis(1, 20),
        _ => random.millis(30, 300),
    }
}
