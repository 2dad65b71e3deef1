//! At the head of this process's queue: into the store's queue, and to its head.

use super::attempt::{Attempt, Position, Waiting, busy, withdrawn_later};
use crate::contract::{Entered, Entry, Grant};
use crate::engine::deadlock::{self, Seen};
use crate::engine::observe;
use crate::engine::owned::OwnedEntry;
use crate::engine::queue::{Progress, Stage};
use crate::engine::session::SessionRef;
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::Holder;
use crate::world::clock::Moment;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// An entry that holds the lock.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) owned: OwnedEntry,
    pub(super) grant: Grant,
    pub(super) at: Moment,
}

/// Why one entry did not get the lock.
enum Failure {
    Store(Error),
    /// An entry of this process that nobody wants any more is in the way.
    InTheWay(Error),
}

/// The request ends here, or its future is dropped: unless the lock was granted, what it left in the store is leaving.
struct Ends<'a> {
    attempt: &'a Attempt,
    position: Arc<Position>,
    is_granted: bool,
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if !self.is_granted {
            self.position.leaves(self.attempt.now());
        }
    }
}

/// What has happened to a request so far.
#[derive(Debug, Default)]
struct Past {
    /// Whether it was reported that the store fails.
    is_reported: bool,
    /// Since when it has lost its session again and again, and was in no queue between.
    lost_since: Option<Moment>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl Attempt {
    /// Gets the lock from the store. The background takes it over from a caller that is not polled, so that it goes on, and
    /// its time passes.
    ///
    /// `entry` may be on its way into the store's queue already.
    pub(super) async fn at_the_store(
        self: Arc<Self>,
        position: Arc<Position>,
        entry: Option<OwnedEntry>,
    ) -> Result<Granted, Error> {
        let mut ends = Ends { attempt: &self, position, is_granted: false };
        #[cfg(feature = "metrics")]
        self.engine.measure_oldest();
        let granting = async {
            tokio::select! {
                biased;
                () = self.stopping() => Err(self.engine.life.error()),
                granted = self.until_granted(&ends.position, entry) => granted,
            }
        };
        let result = match self.time_left() {
            None => Some(granting.await),
            Some(left) => self.engine.world.runtime().within(left, granting).await,
        };
        ends.is_granted = matches!(result, Some(Ok(_)));
        let progress = ends.position.progress();
        // An entry that is not granted is on its way out of the store already. Nothing is kept while the store is asked.
        drop(ends);
        match result {
            Some(result) => result,
            // Rare, and not to be room in every future that acquires.
            None => Err(Box::pin(self.timed_out(progress)).await),
        }
    }

    /// Enters the store's queue, again if the session is lost or the store fails meanwhile.
    async fn until_granted(&self, position: &Arc<Position>, mut entry: Option<OwnedEntry>) -> Result<Granted, Error> {
        let mut backoff = self.backoff();
        let mut past = Past::default();
        loop {
            self.engine.check_open()?;
            match self.enter_once(position, entry.take()).await {
                Ok(granted) => return Ok(granted),
                Err(failure) => self.survive(position, failure, &mut past)?,
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    /// One entry's way into the store's queue and to its head.
    async fn enter_once(&self, position: &Arc<Position>, entry: Option<OwnedEntry>) -> Result<Granted, Failure> {
        position.asks(self.now());
        let (mut owned, entered) = self.within_timeout(position, self.enter(position, entry)).await?;
        let grant = match entered {
            Entered::Held(grant) => grant,
            Entered::Busy(holder) => {
                owned.forget();
                return Err(self.busy(position, &holder));
            }
            Entered::Queued => self.wait_in_queue(position, &mut owned).await?,
        };
        if let Some(least) = self.request.options.hold_at_least {
            self.extend(position, &mut owned, least).await?;
        }
        let at = self.now();
        owned.check(at)?;
        owned.note_held(at);
        Ok(Granted { owned, grant, at })
    }

    /// An entry of this request, which is not in the store yet.
    pub(super) fn new_entry(&self, position: &Arc<Position>, session: SessionRef) -> OwnedEntry {
        let engine = &self.engine;
        let request = &self.request;
        let mut entry = Entry::new(request.key.clone(), engine.next_number(), Arc::clone(&request.holder));
        (entry.mode, entry.others) = (request.options.mode, request.others.clone());
        OwnedEntry::new(Arc::new(entry), session, Arc::clone(position))
    }

    async fn enter(&self, position: &Arc<Position>, entry: Option<OwnedEntry>) -> Result<(OwnedEntry, Entered), Error> {
        let mut owned = match entry {
            Some(begun) => begun,
            None => self.new_entry(position, self.engine.sessions.get(self.request.ttl).await?),
        };
        let entered = owned.enter(self.when_busy()).await?;
        Ok((owned, entered))
    }

    /// The answer to `request`, unless the store does not answer for too long.
    async fn within_timeout<T>(
        &self,
        position: &Position,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let Some(end) = self.times_out_at(&position.progress()) else { return request.await };
        let answer = self.engine.world.runtime().within(end.since(self.now()), request).await;
        answer.unwrap_or_else(|| {
            Err(position.progress().cause.map_or_else(|| self.no_answer(), |cause| cause.to_error("")))
        })
    }

    async fn wait_in_queue(&self, position: &Position, owned: &mut OwnedEntry) -> Result<Grant, Error> {
        position.answered(Stage::Queued);
        let _waiting = Waiting::begin(self);
        if self.request.holder.under.is_empty() {
            return self.wait_turn(owned).await;
        }
        let found = deadlock::found(&self.engine, &self.request, Seen::ByAll);
        tokio::select! {
            biased;
            grant = self.wait_turn(owned) => grant,
            error = found => Err(error),
        }
    }

    /// Waits for the entry's turn, and reports if that takes long.
    async fn wait_turn(&self, owned: &mut OwnedEntry) -> Result<Grant, Error> {
        let mut turn = std::pin::pin!(owned.wait_turn());
        if let Some(at) = self.report_at() {
            let runtime = self.engine.world.runtime();
            if let Some(grant) = runtime.within(at.since(self.now()), turn.as_mut()).await {
                return grant;
            }
            self.report_long_wait(None, true);
        }
        turn.await
    }

    /// Has the store extend the entry, again if it fails: another entry would wait behind this one.
    async fn extend(&self, position: &Position, owned: &mut OwnedEntry, least: Duration) -> Result<(), Failure> {
        let mut backoff = self.backoff();
        let mut past = Past::default();
        position.asks(self.now());
        loop {
            match self.within_timeout(position, owned.extend(least)).await {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Lost => return Err(error.into()),
                Err(error) => self.survive(position, error.into(), &mut past)?,
            }
            tokio::time::sleep(backoff.pause()).await;
            owned.check(self.now())?;
        }
    }

    fn busy(&self, position: &Position, holder: &Holder) -> Failure {
        match self.holds_nothing(holder, Some(position.id())) {
            None => {
                position.answered(Stage::Leaving);
                Failure::Store(busy(Some(holder.clone())))
            }
            Some(nothing) => Failure::InTheWay(withdrawn_later(nothing.cause.as_ref())),
        }
    }

    /// Whether to go on after `failure`: the session was lost, or the store has not failed this request for too long.
    fn survive(&self, position: &Position, failure: Failure, past: &mut Past) -> Result<(), Error> {
        let (error, tries_again) = match failure {
            Failure::Store(error) => match error.kind() {
                ErrorKind::Lost => return self.survive_loss(position, &error, past),
                ErrorKind::Unavailable => (error, !self.request.options.tries_once()),
                _ => return Err(error),
            },
            Failure::InTheWay(error) => (error, true),
        };
        position.fails(&error);
        match std::mem::replace(&mut past.is_reported, true) {
            false => observe::store_fails(&self.request.key, &error),
            true => observe::store_unreachable(&self.request.key, &error),
        }
        let is_too_long = self.is_too_long(position);
        if !tries_again || is_too_long {
            return Err(error);
        }
        Ok(())
    }

    /// The session was lost, for which another is opened: but not for ever.
    fn survive_loss(&self, position: &Position, error: &Error, past: &mut Past) -> Result<(), Error> {
        let was_queued = position.progress().stage == Stage::Queued;
        // That was an answer: if the time is up before the next one, the store was not silent.
        position.answered(Stage::Asking);
        let since = past.lost_since.filter(|_| !was_queued);
        let since = *past.lost_since.insert(since.unwrap_or_else(|| self.now()));
        let is_too_long = self.time_left().is_none() && self.now().since(since) >= self.engine.defaults.connect_timeout;
        if is_too_long { Err(Error::unavailable(error.to_string())) } else { Ok(()) }
    }

    /// Whether the store has not done what it was asked for too long.
    fn is_too_long(&self, position: &Position) -> bool {
        self.times_out_at(&position.progress()).is_some_and(|end| self.now() >= end)
    }

    /// Whether that is why the time to wait is over, and not that it had answered too late for the rest.
    fn is_silent_since(&self, unanswered: Moment) -> bool {
        let (silence, waited) = (self.now().since(unanswered), self.now().since(self.begun));
        silence * 2 >= waited || silence >= self.engine.defaults.connect_timeout
    }

    /// The time to wait passed: because the lock was held, or because the store did not answer.
    async fn timed_out(&self, progress: Progress) -> Error {
        match (progress.cause, progress.unanswered) {
            (Some(cause), _) => cause.to_error(""),
            // It has answered nothing, for most of that time or for as long as one without a limit bears it.
            (None, Some(since)) if self.is_silent_since(since) => self.no_answer(),
            // It owes an answer, and would owe another one.
            (None, Some(_)) => self.timeout(None),
            (None, None) => self.queue_timeout().await,
        }
    }
}
