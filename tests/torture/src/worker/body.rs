//! What runs under a lock, and tells of every step.

use std::sync::Arc;
use std::time::Duration;

use crate::history::{Ending, Recorder, Wait, What};
use crate::lock::Style;
use crate::random::Random;
use crate::register::Writer;

/// One body: how long it runs, and how it ends.
#[derive(Debug)]
pub struct Body {
    /// The call it belongs to.
    pub call: u64,
    /// The register that it writes.
    pub key: String,
    /// How long it runs, unless it is stopped.
    pub length: Duration,
    /// Whether it panics in the end.
    pub panics: bool,
    /// Where it tells.
    pub recorder: Arc<Recorder>,
    /// Where it writes.
    pub register: Writer,
    /// Its own chances.
    pub random: Random,
}

/// What a body that is to panic says.
pub const PLANNED: &str = "this body was told to panic";

impl Body {
    /// Writes down that its lock is asked for, right now: who is before whom in the line is judged by it.
    pub fn asks(&self, wait: Wait, style: Style) {
        let (stoppable, most) = (style.is_stoppable(), style.most());
        self.recorder.record(What::Asked { call: self.call, key: self.key.clone(), wait, stoppable, most });
    }

    /// Runs, and asks at each step whether the lock says that it is held.
    ///
    /// # Panics
    ///
    /// If it was told to.
    pub async fn run(mut self, fence: u64, held: impl Fn() -> bool) {
        let mut running = self.begin(fence);
        while let Some(pause) = self.step(&mut running, &held) {
            tokio::time::sleep(pause).await;
        }
        self.end(running);
    }

    /// As [`run`](Body::run), blocking the thread.
    ///
    /// # Panics
    ///
    /// If it was told to.
    pub fn run_blocking(mut self, fence: u64, held: impl Fn() -> bool) {
        let mut running = self.begin(fence);
        while let Some(pause) = self.step(&mut running, &held) {
            std::thread::sleep(pause);
        }
        self.end(running);
    }

    fn begin(&mut self, fence: u64) -> Running {
        let at = self.recorder.record(What::Begins { call: self.call, fence });
        let running = Running { recorder: self.recorder.clone(), call: self.call, fence, how: Ending::Dropped };
        // The first write shuts the register to all holders before: what it reads is what they have left.
        self.write(fence, at);
        running
    }

    /// Tells that it runs, and gives how long to pause before the next step, if there is one.
    fn step(&mut self, running: &mut Running, held: &impl Fn() -> bool) -> Option<Duration> {
        let at = crate::clock::now();
        // Asked after the moment was taken: what is held now was held then.
        self.recorder.record_at(at, What::Beat { call: self.call, held: held() });
        if self.random.percent(20) {
            self.write(running.fence, at);
        }
        let pause = self.random.millis(1, 40).min(self.length);
        self.length -= pause;
        (!pause.is_zero()).then_some(pause)
    }

    /// A value that no other write has: the moment is this process's, the bits are random.
    fn write(&mut self, fence: u64, at: u64) {
        self.register.write(&self.key, fence, at ^ self.random.bits());
    }

    #[expect(clippy::panic, reason = "one of its ways to end")]
    fn end(self, mut running: Running) {
        running.how = if self.panics { Ending::Panicked } else { Ending::Done };
        if self.panics {
            panic!("{PLANNED}");
        }
    }
}

/// Tells that the body runs no more, however it ends.
struct Running {
    recorder: Arc<Recorder>,
    call: u64,
    fence: u64,
    how: Ending,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.recorder.record(What::Ends { call: self.call, how: self.how });
    }
}
