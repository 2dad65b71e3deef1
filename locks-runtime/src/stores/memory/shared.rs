//! The store behind its handles: the state, and how a request reaches it.

#[cfg(any(test, feature = "testing"))]
use super::faults::Faults;
use super::state::{Queue, State};
use crate::values::error::Error;
use crate::values::key::Key;
use crate::values::mutex::Mutex;
use crate::world::World;
use crate::world::clock::Moment;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Shared {
    world: World,
    state: Mutex<State>,
    site: OnceLock<Arc<str>>,
    #[cfg(any(test, feature = "testing"))]
    pub(super) faults: Faults,
}

/// Who sees to it that what lapses is removed in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lapses {
    /// Whoever waits.
    Awaited,
    /// Others.
    Noticed,
}

impl Shared {
    pub(super) fn new(world: &World) -> Self {
        Self {
            world: world.clone(),
            state: Mutex::default(),
            site: OnceLock::new(),
            #[cfg(any(test, feature = "testing"))]
            faults: Faults::default(),
        }
    }

    /// What distinguishes it from other stores in memory, of other processes too.
    pub(super) fn site(&self) -> &Arc<str> {
        self.site.get_or_init(|| format!("memory:{:016x}", self.world.bits()).into())
    }

    /// The time of the wall clock, in milliseconds since 1970.
    pub(super) fn wall_ms(&self) -> u64 {
        self.world.wall_ms()
    }

    /// Does `work` on the state, once everything that has lapsed is gone.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State, Moment) -> T) -> T {
        let mut state = self.state.lock();
        let now = self.world.now();
        if now >= state.next_lapse {
            state.sweep(now);
        }
        work(&mut state, now)
    }

    /// A request to the store, which a test's faults may disturb.
    pub(super) async fn request<T>(
        &self,
        work: impl FnOnce(&mut State, Moment) -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        #[cfg(any(test, feature = "testing"))]
        self.faults.before().await?;
        let result = self.with(work);
        #[cfg(any(test, feature = "testing"))]
        self.faults.after()?;
        result
    }

    /// The same for what needs no time in most cases: nothing of what has lapsed is removed before.
    pub(super) async fn request_untimed<T>(
        &self,
        work: impl FnOnce(&mut State, &dyn Fn() -> Moment) -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        #[cfg(any(test, feature = "testing"))]
        self.faults.before().await?;
        let result = work(&mut self.state.lock(), &|| self.world.now());
        #[cfg(any(test, feature = "testing"))]
        self.faults.after()?;
        result
    }

    /// Whether a test lets something new in.
    pub(super) fn room(&self) -> Result<(), Error> {
        #[cfg(any(test, feature = "testing"))]
        self.faults.room()?;
        Ok(())
    }

    /// Whether a test lets an entry go.
    pub(super) fn release(&self) -> Result<(), Error> {
        #[cfg(any(test, feature = "testing"))]
        self.faults.release()?;
        Ok(())
    }

    /// Asks `ready` about the queue of `key` at every change to it, and whenever something lapses if nobody else notices that.
    pub(super) async fn until<T>(
        &self,
        key: &Key,
        lapses: Lapses,
        mut ready: impl FnMut(&mut State) -> Option<T>,
    ) -> T {
        loop {
            let changed = self.with(|state, _| state.queues.get_mut(key).map(Queue::changes)).unwrap_or_default();
            let changed = changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let (value, pause) = self.with(|state, now| (ready(state), state.next_lapse.since(now)));
            if let Some(value) = value {
                return value;
            }
            // A millisecond more, so that the timer's rounding does not wake it too early again and again.
            if lapses == Lapses::Noticed {
                changed.await;
                continue;
            }
            let pause = pause.min(Duration::from_secs(3600)) + Duration::from_millis(1);
            let _ = tokio::time::timeout(pause, changed).await;
        }
    }
}
