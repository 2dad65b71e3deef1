//! The body of a call, which records every step.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::history::{Ending, EventKind, Recorder, Wait};
use crate::lock::Style;
use crate::random::Random;
use crate::register::Writer;

/// One body: how long it runs, and how it ends.
#[derive(Debug)]
pub struct Body {
    /// The call that it belongs to.
    pub call: u64,
    /// The register that it writes.
    pub key: String,
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
        let (call, key) = (self.call, self.key.clone());
        let (stoppable, limit_ms) = (style.is_stoppable(), style.limit_ms());
        self.recorder.record(EventKind::Invoked { call, key, wait, stoppable, limit_ms });
    }

    /// Runs, and records at each step whether the lock reports that it is held.
    ///
    /// # Panics
    ///
    /// If that was planned.
    pub async fn run(mut self, fence: u64, held: impl Fn() -> bool) {
        let mut running = self.begin(fence);
        while let Some(pause) = self.step(&mut running, &held) {
            tokio::time::sleep(pause).await;
        }
        self.end(running);
    }

    /// As [`run`](Body::run), but blocks the thread.
    ///
    /// # Panics
    ///
    /// If that was planned.
    pub fn run_blocking(mut self, fence: u64, held: impl Fn() -> bool) {
        let mut running = self.begin(fence);
        while let Some(pause) = self.step(&mut running, &held) {
            std::thread::sleep(pause);
        }
        self.end(running);
    }

    fn begin(&mut self, fence: u64) -> Running {
        let at = self.recorder.record(EventKind::BodyStarted { call: self.call, fence });
        let running = Running { recorder: self.recorder.clone(), call: self.call, fence, ending: Ending::Dropped };
        // After this write the register refuses those of all earlier holders.
        self.write(fence, at);
        running
    }

    /// Records a heartbeat, and returns how long to pause before the next step; `None` after the last one.
    fn step(&mut self, running: &mut Running, held: &impl Fn() -> bool) -> Option<Duration> {
        let at = crate::clock::now();
        // Asked after the time was taken: what is held now was held then.
        self.recorder.record_at(at, EventKind::Heartbeat { call: self.call, held: held() });
        if self.random.percent(20) {
            self.write(running.fence, at);
        }
        let outlast = self.outlast.as_ref().map_or(0, |until| until.load(Ordering::Acquire));
        self.length = self.length.max(Duration::from_nanos(outlast.saturating_sub(at)));
        let pause = self.random.millis(1, 40).min(self.length);
        self.length -= pause;
        (!pause.is_zero()).then_some(pause)
    }

    /// Writes a value that no other write has: from the time of this process's event and random bits.
    fn write(&mut self, fence: u64, at: u64) {
        self.register.write(&self.key, fence, at ^ self.random.bits());
    }

    #[expect(clippy::panic, reason = "one of the ways in which a body ends")]
    fn end(self, mut running: Running) {
        running.ending = if self.panics { Ending::Panicked } else { Ending::Done };
        if self.panics {
            panic!("{PLANNED}");
        }
    }
}

/// Records the end of the body, however it ends.
struct Running {
    recorder: Arc<Recorder>,
    call: u64,
    fence: u64,
    ending: Ending,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.recorder.record(EventKind::BodyEnded { call: self.call, ending: self.ending });
    }
}
