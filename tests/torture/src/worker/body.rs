//! The body of a call, which records every step.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use distributed_locks::Mode;

use crate::history::{Ending, EventKind, Options, Recorder, Wait};
use crate::lock::{Style, Wanted};
use crate::random::Random;
use crate::register::Writer;

/// One body: how long it runs, and how it ends.
#[derive(Debug)]
pub struct Body {
    /// The call that it belongs to.
    pub call: u64,
    /// The locks that it is under, whose registers it writes if nobody shares them.
    pub wanted: Wanted,
    /// How long it runs, unless it is stopped.
    pub length: Duration,
    /// Until when it does not end, if it is not stopped.
    pub outlast: Option<Arc<AtomicU64>>,
    /// Whether it panics in the end.
    pub panics: bool,
    /// Where it records its steps.
    pub recorder: Arc<Recorder>,
    /// Where it writes.
    pub register: Writer,
    /// What it chooses by.
    pub random: Random,
}

/// The message of a panic that was planned.
pub const PLANNED: &str = "this body was told to panic";

impl Body {
    /// Records that the lock is requested now: the order of waiters is checked by this event.
    pub fn record_request(&self, wait: Wait, style: Style) {
        let (call, key, others) = (self.call, self.wanted.key().to_owned(), self.wanted.others());
        let (stoppable, limit_ms) = (style.is_stoppable(), style.limit_ms());
        let leads = style == Style::Leading;
        let options = Options { mode: self.wanted.mode, leads, ..Options::default() };
        self.recorder.record(EventKind::Invoked { call, key, others, wait, stoppable, limit_ms, options });
    }

    /// Runs under these fences, one for each lock, and records at each step whether the lock reports that it is held.
    ///
    /// # Panics
    ///
    /// If that was planned.
    pub async fn run(mut self, fences: Vec<u64>, held: impl Fn() -> bool) {
        let running = self.begin(fences);
        while let Some(pause) = self.step(&running, &held) {
            tokio::time::sleep(pause).await;
        }
        self.end(running);
    }

    /// As [`run`](Body::run), but blocks the thread.
    ///
    /// # Panics
    ///
    /// If that was planned.
    pub fn run_blocking(mut self, fences: Vec<u64>, held: impl Fn() -> bool) {
        let running = self.begin(fences);
        while let Some(pause) = self.step(&running, &held) {
            std::thread::sleep(pause);
        }
        self.end(running);
    }

    pub(super) fn begin(&mut self, fences: Vec<u64>) -> Running {
        let at = self.recorder.record(body_started(self.call, &fences));
        let running = Running::of(&self.recorder, self.call, fences);
        // After this write the register refuses those of all earlier holders.
        self.write(&running.fences, at);
        running
    }

    /// Records a heartbeat, and returns how long to pause before the next step; `None` after the last one.
    pub(super) fn step(&mut self, running: &Running, held: &impl Fn() -> bool) -> Option<Duration> {
        let at = running.beat(held);
        if self.random.percent(20) {
            self.write(&running.fences, at);
        }
        let outlast = self.outlast.as_ref().map_or(0, |until| until.load(Ordering::Acquire));
        self.length = self.length.max(Duration::from_nanos(outlast.saturating_sub(at)));
        let pause = self.random.millis(1, 40).min(self.length);
        self.length -= pause;
        (!pause.is_zero()).then_some(pause)
    }

    /// Writes a value that no other write has: from the time of this process's event and random bits. Who shares a lock only
    /// reads.
    fn write(&mut self, fences: &[u64], at: u64) {
        if self.wanted.mode != Mode::Exclusive {
            return;
        }
        for (key, fence) in self.wanted.keys.iter().zip(fences) {
            self.register.write(key, *fence, at ^ self.random.bits());
        }
    }

    #[expect(clippy::panic, reason = "one of the ways in which a body ends")]
    pub(super) fn end(self, mut running: Running) {
        running.ending = if self.panics { Ending::Panicked } else { Ending::Done };
        if self.panics {
            panic!("{PLANNED}");
        }
    }
}

/// The event that a body starts under these fences.
pub(super) fn body_started(call: u64, fences: &[u64]) -> EventKind {
    let fence = fences.first().copied().unwrap_or(0);
    EventKind::BodyStarted { call, fence, others: fences.iter().skip(1).copied().collect() }
}

/// Records the end of the body, however it ends.
pub(super) struct Running {
    recorder: Arc<Recorder>,
    call: u64,
    fences: Vec<u64>,
    pub(super) ending: Ending,
}

impl Running {
    pub(super) fn of(recorder: &Arc<Recorder>, call: u64, fences: Vec<u64>) -> Self {
        Self { recorder: recorder.clone(), call, fences, ending: Ending::Dropped }
    }

    /// Records that the body runs, and what the lock reports; returns the time.
    pub(super) fn beat(&self, held: impl Fn() -> bool) -> u64 {
        let at = crate::clock::now();
        // Asked after the time was taken: what is held now was held then.
        self.recorder.record_at(at, EventKind::Heartbeat { call: self.call, held: held() })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.recorder.record(EventKind::BodyEnded { call: self.call, ending: self.ending });
    }
}
