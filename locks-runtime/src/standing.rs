//! An entry on its way through the store, which is never forgotten there.

use crate::backend::{Entered, Entry, Patience};
use crate::clock::Moment;
use crate::error::{Error, ErrorKind};
use crate::fence::Fence;
use crate::observe;
use crate::queue;
use crate::runtime::{Runtime, Started};
use crate::schedule;
use crate::session::{Keeper, Membership};
use std::sync::Arc;
use std::time::Duration;

/// A place in this process's line, where a hold may be passed on.
pub(crate) type Place = queue::Place<Baton>;

/// A hold on its way from one body of this process to the next: the entry stays in the store, nobody runs under it.
#[derive(Debug)]
pub(crate) struct Baton {
    pub(crate) standing: Standing,
    /// For the next hold.
    pub(crate) fence: Fence,
    /// When the store gave the lock to this process.
    pub(crate) granted: Moment,
}

/// An entry that is, or may be, in the store. Dropping it withdraws the entry in the background, after the request
/// that put it there has ended: a late grant becomes a withdrawal.
#[derive(Debug)]
pub(crate) struct Standing {
    entry: Arc<Entry>,
    member: Arc<Membership>,
    /// The process's place in line, kept until the store's is given up; none for a moment while it is passed on.
    place: Option<Arc<Place>>,
    runtime: Runtime,
    entering: Option<Started<Result<Entered, Error>>>,
    waiting: Option<Started<Result<u64, Error>>>,
    /// In other hands now, or not in the store.
    settled: bool,
}

impl Standing {
    /// An entry that nobody of this process stands for yet.
    pub(crate) fn new(entry: Arc<Entry>, member: Arc<Membership>, runtime: Runtime) -> Self {
        Self { entry, member, place: None, runtime, entering: None, waiting: None, settled: false }
    }

    /// Whoever has `place` stands for the entry.
    pub(crate) fn stand_at(&mut self, place: &Arc<Place>) {
        self.place = Some(Arc::clone(place));
    }

    /// Puts the entry into the store's line.
    pub(crate) async fn enter(&mut self, patience: Patience) -> Result<Entered, Error> {
        let entering = self.runtime.start(self.member.session.enter(Arc::clone(&self.entry), patience));
        let entered = self.entering.insert(entering).await.unwrap_or_else(|| Err(failed_inside("enter")));
        if let Err(error) = &entered
            && error.kind() == ErrorKind::Lost
        {
            // The store has forgotten the session itself: nobody else should try it.
            self.member.lose(error.to_string());
        }
        entered
    }

    /// Waits until the entry is at the head of the store's line.
    pub(crate) async fn turn(&mut self) -> Result<u64, Error> {
        let waiting = self.runtime.start(self.member.session.turn(Arc::clone(&self.entry)));
        tokio::select! {
            biased;
            why = self.member.lost() => Err(Error::lost(why.to_string())),
            number = self.waiting.insert(waiting) => number.unwrap_or_else(|| Err(failed_inside("turn"))),
        }
    }

    /// Makes the lock stay taken for `least`, whatever happens to this process.
    pub(crate) async fn keep(&self, least: Duration) -> Result<(), Error> {
        let kept = self.runtime.start(self.member.session.keep(Arc::clone(&self.entry), least));
        kept.await.unwrap_or_else(|| Err(failed_inside("keep")))
    }

    /// Whether the session has lasted until `now`.
    pub(crate) fn check(&self, now: Moment) -> Result<(), Error> {
        match self.member.loss_at(now) {
            None => Ok(()),
            Some(why) => Err(Error::lost(format!("the session ended before the lock was held: {why}"))),
        }
    }

    /// The entry is in other hands now, or not in the store: nothing is owed.
    pub(crate) fn settle(mut self) -> (Arc<Entry>, Arc<Membership>) {
        self.settled = true;
        (Arc::clone(&self.entry), Arc::clone(&self.member))
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        if let Some(waiting) = &self.waiting {
            waiting.abort();
        }
        let (entry, member, place) = (Arc::clone(&self.entry), Arc::clone(&self.member), self.place.take());
        let entering = self.entering.take();
        drop(self.runtime.start(Box::pin(async move {
            if let Some(entering) = entering {
                // Whatever it answered, the entry goes.
                let _ = entering.await;
            }
            // A failure is logged there; the session's end frees the lock at the latest.
            let _ = leave(&member, &entry).await;
            drop(place);
        })));
    }
}

fn failed_inside(step: &str) -> Error {
    Error::unavailable(format!("the store's `{step}` failed inside; this is a bug worth reporting"))
}

/// Takes `entry` out of the store, until the answer is definite or the session is over: then its end takes the entry.
pub(crate) async fn leave(keeper: &Keeper, entry: &Arc<Entry>) -> Result<(), Error> {
    for failures in 1.. {
        let left = tokio::select! {
            biased;
            _ = keeper.lost() => break,
            left = keeper.session.leave(Arc::clone(entry)) => left,
        };
        match left {
            Ok(()) => break,
            Err(error) if error.kind() == ErrorKind::Lost => break,
            Err(error) => {
                observe::release_failed(&entry.key, &error);
                if error.kind() != ErrorKind::Unavailable {
                    return Err(error.with_key(&entry.key));
                }
                tokio::time::sleep(schedule::backoff(failures, Duration::from_secs(1))).await;
            }
        }
    }
    Ok(())
}
