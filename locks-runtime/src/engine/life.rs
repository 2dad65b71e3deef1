//! How far the life of a client has come: it is open, it is being drained, or it is closed.

use crate::values::error::{Error, ErrorKind};
use crate::values::mutex::Mutex;
use crate::world::World;
use crate::world::clock::Moment;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use tokio::sync::Notify;

/// How far the life of a client has come. It only goes on, never back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// It takes requests.
    Open,
    /// It takes none any more. Bodies go on, and everything is renewed.
    Draining,
    /// Bodies are stopped.
    Stopped,
    /// It has ended, with all that it had.
    Closed,
}

/// The phase of a client, for all who want to hear of the next one.
#[derive(Debug, Default)]
pub(crate) struct Life {
    phase: AtomicU8,
    /// Until when bodies may end by themselves, once it is being drained.
    grace: Mutex<Option<Moment>>,
    is_drained: AtomicBool,
    changed: Notify,
}

impl Life {
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Open,
            1 => Phase::Draining,
            2 => Phase::Stopped,
            _ => Phase::Closed,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.phase() == Phase::Open
    }

    /// Goes on to this phase, if it has not come so far yet.
    pub(crate) fn advance(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// Takes no more requests; bodies may go on until then, or until an earlier moment that was given before. Returns whether
    /// this is the first such call.
    pub(crate) fn begin_drain(&self, until: Moment) -> bool {
        let is_first = {
            let mut grace = self.grace.lock();
            let earliest = grace.map_or(until, |before| before.min(until));
            grace.replace(earliest).is_none()
        };
        self.advance(Phase::Draining);
        is_first
    }

    /// Everything that could be released has been.
    pub(crate) fn note_drained(&self) {
        self.is_drained.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Returns when everything that could be released has been.
    pub(crate) async fn drained(&self) {
        self.until(|| self.is_drained.load(Ordering::Acquire)).await;
    }

    /// Returns when this phase has begun.
    pub(crate) async fn reached(&self, phase: Phase) {
        self.until(|| self.phase() >= phase).await;
    }

    /// Returns when bodies are to stop. It needs tokio's timers.
    pub(crate) async fn grace_is_over(&self, world: &World) {
        loop {
            let changed = self.changed.notified();
            let until = *self.grace.lock();
            let left = until.unwrap_or(Moment::NEVER).since(world.now());
            if self.phase() >= Phase::Stopped || left.is_zero() {
                return;
            }
            // It may be cut short.
            let _ = tokio::time::timeout(left, changed).await;
        }
    }

    async fn until(&self, is_so: impl Fn() -> bool) {
        loop {
            // Made before the look, so that it hears of a change right after.
            let changed = self.changed.notified();
            if is_so() {
                return;
            }
            changed.await;
        }
    }

    /// An error unless it takes requests.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.phase() {
            Phase::Open => Ok(()),
            _ => Err(self.error()),
        }
    }

    /// What those get whose requests come too late, or waited until then.
    pub(crate) fn error(&self) -> Error {
        let text = match self.phase() {
            Phase::Closed => "the client was closed; connect a new one",
            _ => "the service is stopping, and acquires no lock any more (`drain`); another instance may do this",
        };
        Error::new(ErrorKind::Closed, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const GRACE: Duration = Duration::from_secs(10);

    #[test]
    fn a_life_only_goes_on() {
        let life = Life::default();
        assert!(life.is_open() && life.check().is_ok());
        life.advance(Phase::Closed);
        life.advance(Phase::Stopped);
        assert!(life.begin_drain(Moment::NEVER) && life.phase() == Phase::Closed);
        assert!(life.error().to_string().contains("was closed"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_grace_is_over_at_its_earliest_end() {
        let (world, life) = (World::here(), Life::default());
        let begun = world.now();
        assert!(life.begin_drain(begun + GRACE) && !life.begin_drain(begun + GRACE * 2));
        assert!(life.check().unwrap_err().to_string().contains("service is stopping"));
        let cut = async {
            tokio::time::sleep(GRACE / 2).await;
            assert!(!life.begin_drain(begun));
        };
        tokio::join!(life.grace_is_over(&world), cut);
        assert_eq!(world.now().since(begun).as_secs(), GRACE.as_secs() / 2);
    }
}
