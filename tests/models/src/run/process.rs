//! The calls of one task of one process.

use super::SECOND;
use super::witness::Witness;
use crate::model::Model;
use crate::network::Network;
use crate::plan::{Act, Call};
use locks_runtime::{Error, ErrorKind, Guard, Lock, Locks};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// A first contact takes a dozen requests, and a request up to 40 ms on a network that counts as good: a call that waits for
/// less may have no answer.
const FIRST_CONTACT: Duration = Duration::from_millis(500);

pub(super) struct Process<M: Model> {
    pub(super) index: usize,
    pub(super) locks: Locks,
    pub(super) witness: Arc<Witness>,
    pub(super) model: Arc<M>,
    pub(super) network: Arc<Network>,
    /// The locks for whose calls there is no excuse.
    pub(super) good: BTreeSet<&'static str>,
    /// There is no excuse for losing a lock.
    pub(super) keeps_holds: bool,
    /// The process has no other task.
    pub(super) is_alone: bool,
}

impl<M: Model> Process<M> {
    pub(super) async fn work(&self, calls: Vec<Call>) {
        // Whether this task has just had a guard, which a drop releases in the background.
        let mut had = false;
        for call in calls {
            let had_before = std::mem::take(&mut had);
            sleep(call.after).await;
            self.witness.call(self.index, &call);
            self.network.note("call", || format!("{call:?}"));
            let result = self.act(&call).await;
            self.network.note("done", || format!("{} {result:?}", call.name));
            self.witness.done(&call);
            if let Err(error) = result {
                self.judge(&call, &error, had_before);
                had = error.kind() == ErrorKind::Lost;
            }
        }
    }

    fn lock(&self, call: &Call) -> Lock {
        let lock = self.locks.lock_all(call.keys()).mode(call.mode);
        let mut lock = lock.name(call.name.clone()).ttl(call.ttl);
        if let Some(wait) = call.wait {
            lock = lock.wait(wait);
        }
        if let Some(least) = call.least {
            lock = lock.hold_at_least(least);
        }
        if let Some(most) = call.most {
            lock = lock.hold_at_most(most);
        }
        lock
    }

    async fn act(&self, call: &Call) -> Result<(), Error> {
        match call.act {
            Act::Run => {
                let body = async |guard: Guard| {
                    let _body = self.witness.begin(self.index, call, Arc::new(guard), &*self.model.state());
                    sleep(call.body).await;
                };
                self.lock(call).run(body).await
            }
            Act::Acquire => {
                let acquiring = self.lock(call).acquire();
                let acquired = match call.dropped {
                    None => acquiring.await,
                    Some(after) => match timeout(after, acquiring).await {
                        Ok(acquired) => acquired,
                        Err(_) => return Ok(()),
                    },
                };
                self.hold(call, acquired?).await
            }
            Act::Try => {
                let guard = self.lock(call).wait(Duration::ZERO).acquire().await?;
                self.hold(call, guard).await
            }
        }
    }

    /// As a careful program would.
    async fn hold(&self, call: &Call, guard: Guard) -> Result<(), Error> {
        let guard = Arc::new(guard);
        let body = self.witness.begin(self.index, call, Arc::clone(&guard), &*self.model.state());
        let lost = tokio::select! {
            biased;
            error = guard.lost() => Some(error),
            () = sleep(call.body) => None,
        };
        drop(body);
        match lost {
            Some(error) => Err(error),
            None => Arc::into_inner(guard).unwrap().release().await,
        }
    }

    fn judge(&self, call: &Call, error: &Error, had: bool) {
        let mut seen = self.witness.seen();
        let is_own = |holder: &locks_runtime::Holder| holder.name.starts_with(&format!("c{}.", self.index));
        if error.kind() == ErrorKind::Busy
            && self.is_alone
            && error.holder().is_some_and(is_own)
            && call
                .keys()
                .into_iter()
                .all(|key| seen.kept(self.index, key).is_none_or(|kept| kept.until + 3 * SECOND < Instant::now()))
        {
            let kind = if had { "busy by itself after a loss" } else { "busy by itself after a failure" };
            seen.find(kind, || format!("{}: {error}", call.name));
        }
        let is_expected = match error.kind() {
            ErrorKind::Busy | ErrorKind::Timeout => true,
            ErrorKind::LimitPassed => call.most.is_some(),
            _ => false,
        };
        // Which says that it will never be otherwise.
        if error.kind() == ErrorKind::Unsupported {
            seen.find("unsupported", || format!("{}: {error:?}", call.name));
        }
        if self.keeps_holds && error.kind() == ErrorKind::Lost {
            seen.find("lost although it was renewed", || format!("{}: {error:?}", call.name));
        }
        let is_too_short = error.kind() == ErrorKind::Unavailable && call.wait.is_some_and(|wait| wait < FIRST_CONTACT);
        if call.keys().iter().all(|key| self.good.contains(key)) && !is_expected && !is_too_short {
            seen.find("error on a good network", || format!("{}: {error:?}", call.name));
        }
    }
}
