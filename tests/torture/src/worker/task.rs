//! One task: one call after the other, each of another kind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use super::Worker;
use super::body::Body;
use crate::crew::LONG;
use crate::history::{Outcome, Wait, What};
use crate::lock::{Refusal, Request, Style};
use crate::random::Random;

/// Calls until the worker is told to stop.
pub(super) async fn run(worker: Arc<Worker>, key: String, seed: u64, name: String) {
    let mut random = Random::new(seed, &name);
    while !worker.stopping.load(Ordering::Acquire) {
        let outcome = call(&worker, &key, &mut random).await;
        let pause = match outcome {
            Outcome::Ran | Outcome::Panicked | Outcome::Lost | Outcome::Limited => random.millis(0, 30),
            _ => random.millis(20, 150),
        };
        tokio::time::sleep(pause).await;
    }
}

async fn call(worker: &Arc<Worker>, key: &str, random: &mut Random) -> Outcome {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let call = NEXT.fetch_add(1, Ordering::Relaxed);
    let (style, wait) = choose(random);
    let when_busy = when_busy(style, random);
    let body = Body {
        call,
        key: key.to_owned(),
        length: length(key, random),
        panics: random.percent(6),
        recorder: worker.recorder.clone(),
        register: worker.register.clone(),
        random: random.clone(),
    };
    let running = worker.lock.run(Request { key: key.to_owned(), wait, style, body });
    // A task of its own, so that a panic ends the call and not the worker.
    let running = tokio::spawn(async move { timeout(when_busy, running).await });
    let (outcome, error) = match running.await {
        Ok(Ok(Ok(()))) => (Outcome::Ran, String::new()),
        Ok(Ok(Err(Refusal { outcome, why }))) => (outcome, why),
        Ok(Err(_)) => (Outcome::Abandoned, String::new()),
        Err(ended) if ended.is_panic() => (Outcome::Panicked, String::new()),
        Err(ended) => (Outcome::Failed, ended.to_string()),
    };
    worker.recorder.record(What::Returned { call, outcome, error });
    outcome
}

/// What kind of function it is, and how long it waits.
fn choose(random: &mut Random) -> (Style, Wait) {
    match random.between(0, 100) {
        0..45 => (Style::Cancelled, Wait::Forever),
        45..55 => (Style::Cancelled, Wait::Never),
        55..70 => (Style::Cancelled, Wait::Millis(random.between(1, 4_000))),
        70..80 => (Style::AtMost(random.millis(20, 4_000)), Wait::Forever),
        80..88 => (Style::Continuing, Wait::Forever),
        _ => (Style::Blocking, Wait::Forever),
    }
}

/// When the caller drops the call, wherever it is. One that blocks cannot be dropped.
fn when_busy(style: Style, random: &mut Random) -> Duration {
    match style {
        Style::Blocking => Duration::from_secs(365 * 24 * 3600),
        _ if random.percent(10) => random.millis(0, 3_000),
        _ => Duration::from_secs(365 * 24 * 3600),
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
