//! Who leads, for everybody else.

use crate::contract::{Backoff, Change, Listed, Scope};
use crate::engine::core::Engine;
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::target::TARGET;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Who leads, as the store shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leader {
    /// What the leader says of itself, such as its address. Empty for one of another project that says nothing.
    pub value: String,
    /// What distinguishes this term from every other of this key: see [`Listed::fence`].
    pub fence: Option<u64>,
    /// Which process it is. On etcd an elected leader leaves its value alone, so that it is unknown there.
    pub holder: Holder,
}

impl Leader {
    /// Whoever holds a lock of this key leads nothing.
    fn of(listed: Listed) -> Option<Self> {
        let Listed { holder, fence, .. } = listed;
        let value = match &holder.value {
            Some(value) => value.clone(),
            None if holder.is_known() => return None,
            None => String::new(),
        };
        Some(Self { value, fence, holder })
    }
}

/// Who leads the election `key` now.
pub(super) async fn current(engine: &Arc<Engine>, key: &Key) -> Result<Option<Leader>, Error> {
    let lines = engine.ask(engine.store.inspect(Scope::Key(key.clone()))).await;
    let line = lines.map_err(|error| error.with_key(key))?.into_iter().next();
    Ok(line.and_then(|line| line.holders.into_iter().next()).and_then(Leader::of))
}

/// The leaders of one election, one after the other. Dropping it ends it.
///
/// It hears of a change from the store, and looks by itself once in each TTL, whatever it has heard: an observer that was cut off
/// catches up.
pub struct Leaders {
    engine: Arc<Engine>,
    key: Key,
    /// It looks at least as often.
    every: Duration,
    changes: Option<mpsc::Receiver<Change>>,
    /// Whether there may be something new.
    is_due: bool,
    /// What was reported last, if anything was.
    last: Option<Option<Leader>>,
    backoff: Backoff,
}

impl Leaders {
    pub(super) fn new(engine: Arc<Engine>, key: Key, every: Duration) -> Self {
        let backoff = Backoff::of_stream(&engine.world);
        Self { engine, key, every, changes: None, is_due: true, last: None, backoff }
    }

    /// At the first call who leads now, `None` if nobody does, and then each time that this has changed who leads by then. What
    /// comes and goes between two looks may go unreported: it is the latest, not each.
    ///
    /// While the store cannot be reached it waits, and what it reported last may be out of date.
    ///
    /// # Errors
    ///
    /// `Unauthorized`, `InvalidKey`, `Unsupported`, and `Closed` if the client was closed or drained. It may be called again.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses no change.
    pub async fn next(&mut self) -> Result<Option<Leader>, Error> {
        loop {
            self.engine.check_goes_on().map_err(|error| error.with_key(&self.key))?;
            if !self.is_due {
                self.wait_for_a_change().await;
                continue;
            }
            match self.look().await {
                Ok(now) => {
                    self.is_due = false;
                    if self.last.as_ref() != Some(&now) {
                        self.last = Some(now.clone());
                        return Ok(now);
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Lost) => {
                    tracing::debug!(target: TARGET, key = %self.key.shown(), error = %error.chain(), "leader cannot be observed; retrying");
                    self.pause().await;
                }
                Err(error) => return Err(error.with_key(&self.key)),
            }
        }
    }

    /// Who leads now. Whatever changes after it will be heard of.
    async fn look(&mut self) -> Result<Option<Leader>, Error> {
        if self.changes.is_none() {
            let store = &self.engine.store;
            self.changes = Some(self.engine.ask(store.watch(Scope::Key(self.key.clone()))).await?);
        }
        current(&self.engine, &self.key).await
    }

    /// Returns when it is time to look.
    async fn wait_for_a_change(&mut self) {
        let Some(changes) = &mut self.changes else {
            self.is_due = true;
            return;
        };
        let limit = self.engine.world.between(self.every / 2, self.every);
        let heard = self.engine.world.runtime().within(limit, of_holders(changes)).await;
        self.is_due = true;
        match heard {
            // One look shows what all of them did.
            Some(Some(_)) => while changes.try_recv().is_ok() {},
            Some(None) => {
                self.changes = None;
                self.pause().await;
            }
            None => {}
        }
    }

    async fn pause(&mut self) {
        let pause = self.backoff.pause();
        self.engine.world.runtime().sleep(pause).await;
    }
}

/// The next change of who leads: candidates that come and go are none.
async fn of_holders(changes: &mut mpsc::Receiver<Change>) -> Option<Change> {
    loop {
        match changes.recv().await? {
            Change::Queued(..) | Change::Withdrawn(..) => {}
            change => return Some(change),
        }
    }
}

impl fmt::Debug for Leaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaders").field("key", &self.key).field("last", &self.last).finish_non_exhaustive()
    }
}
