//! Waiting in a queue of this process.

use super::attempt::{Attempt, Position, Waiting, busy, withdrawn_later};
use crate::engine::deadlock::{self, Seen};
use crate::engine::life::Phase;
use crate::engine::owned::HandOff;
use crate::engine::queue::{Joined, Member, Passed, QueueName, Stage, Turn};
use crate::engine::schedule;
use crate::values::error::Error;
use crate::values::holder::Holder;
use std::future::pending;
use std::time::Duration;

/// At the head of a queue, with what was handed off there.
pub(super) type AtHead = (Position, Option<HandOff>);

/// What ends, or interrupts, the wait for a turn.
enum Event {
    Turn(Result<Option<HandOff>, Passed>),
    /// Somebody has the lock, and this only tries; or this waits for itself.
    Refused(Error),
    /// It is time to look how things are.
    Look,
}

impl Attempt {
    /// Joins the queue `name`, and returns at its head; `None` if the turn came and was not taken in time.
    pub(super) async fn join(&self, name: &QueueName) -> Result<Option<AtHead>, Error> {
        match self.engine.queues.join(name, self.engine.next_number(), &self.request)? {
            Joined::Head(position) => Ok(Some((position, None))),
            Joined::Behind(position, turn) => Box::pin(self.wait_behind(position, turn)).await,
        }
    }

    pub(super) async fn wait_behind(
        &self,
        position: Position,
        mut turn: Turn<HandOff>,
    ) -> Result<Option<AtHead>, Error> {
        let _waiting = Waiting::begin(self);
        // A turn inside a body depends on other turns there, which find their own circles.
        let mut found: deadlock::Found = match position.is_inside() {
            true => Box::pin(pending()),
            false => deadlock::found(&self.engine, &self.request, Seen::ByItself),
        };
        loop {
            let event = async {
                tokio::select! {
                    biased;
                    // A turn inside a body is for that to end.
                    () = self.stopping(), if !position.is_inside() => Event::Refused(self.engine.life.error()),
                    turn = &mut turn => Event::Turn(turn),
                    error = self.refused(&position) => Event::Refused(error),
                    error = found.as_mut() => Event::Refused(error),
                }
            };
            let pause = self.next_look(&position);
            match self.engine.world.runtime().within(pause, event).await.unwrap_or(Event::Look) {
                Event::Turn(Ok(handed_off)) => return Ok(Some((position, handed_off))),
                Event::Turn(Err(Passed)) => return Ok(None),
                Event::Refused(error) => return Err(error),
                Event::Look if self.is_over() => {
                    let head = position.head();
                    // One's own position goes before anybody is asked who holds the lock.
                    drop((turn, position));
                    return Err(self.local_timeout(head.as_deref()).await);
                }
                Event::Look => self.look(&position)?,
            }
        }
    }

    /// Returns when the client takes no more requests: those that wait end, too.
    pub(super) async fn stopping(&self) {
        self.engine.life.reached(Phase::Draining).await;
    }

    /// Returns once it is known that somebody has the lock, if this only tries.
    async fn refused(&self, position: &Position) -> Error {
        if !self.request.options.tries_once() {
            return pending().await;
        }
        while let Some(head) = position.head() {
            // Made before the look, so that it hears of a change right after.
            let changed = head.changed();
            match head.progress().stage {
                Stage::Held(_) => return busy(Some(Holder::clone(&head.request.holder))),
                // After a pause of the process it may be over, though nothing has been done about it yet.
                Stage::Lapsing { until, .. } if until > self.now() => {
                    return busy(Some(Holder::clone(&head.request.holder)));
                }
                Stage::Queued => match self.real_holder().await {
                    Some(holder) => return busy(holder),
                    None => self.engine.world.runtime().sleep(schedule::SHORTEST_PAUSE).await,
                },
                // Nobody has the lock: who waits for it and others is first.
                Stage::Waiting if head.waits_for_several() => return busy(None),
                Stage::Waiting | Stage::Asking | Stage::Lapsing { .. } | Stage::Leaving => changed.await,
            }
        }
        pending().await
    }

    /// Whom the store names as the holder, if it answers; `None` if that is one of this process that holds nothing.
    async fn real_holder(&self) -> Option<Option<Holder>> {
        let holder = self.other_holder().await;
        let is_real = holder.as_ref().is_none_or(|holder| self.holds_nothing(holder, None).is_none());
        is_real.then_some(holder)
    }

    /// How long until it is time to look how things are.
    fn next_look(&self, position: &Position) -> Duration {
        let now = self.now();
        let head = position.head().map(|head| head.progress()).unwrap_or_default();
        // Those at the head may begin to fail right after this look.
        let timeout = self.times_out_at(&head).unwrap_or_else(|| now + self.engine.defaults.connect_timeout);
        let soonest =
            [self.time_left().map(|left| now + left), self.report_at()].into_iter().flatten().fold(timeout, Ord::min);
        soonest.since(now)
    }

    /// Reports a long wait.
    ///
    /// # Errors
    ///
    /// `Unavailable` if the store has not answered those at the head for too long.
    fn look(&self, position: &Position) -> Result<(), Error> {
        let now = self.now();
        let Some(head) = position.head() else { return Ok(()) };
        let progress = head.progress();
        if self.times_out_at(&progress).is_some_and(|end| now >= end) {
            return Err(self.in_the_way(&head).unwrap_or_else(|| self.no_answer()));
        }
        if self.report_at().is_some_and(|at| now >= at) {
            let holder = match progress.stage {
                Stage::Held(since) | Stage::Lapsing { since, .. } => Some((&*head.request.holder, since)),
                _ => None,
            };
            self.report_long_wait(holder, head.is_first_report());
        }
        Ok(())
    }

    /// What the one at the head knows of a store that does not do what it is asked.
    fn in_the_way(&self, head: &Member) -> Option<Error> {
        let progress = head.progress();
        match (progress.stage, &progress.cause) {
            (Stage::Leaving, cause) => Some(withdrawn_later(cause.as_ref())),
            (_, Some(cause)) => Some(cause.to_error("")),
            (_, None) => None,
        }
    }

    /// The time to wait passed: because the lock was held, or because the store did not answer.
    async fn local_timeout(&self, head: Option<&Member>) -> Error {
        let Some(head) = head else { return self.timeout(None) };
        let progress = head.progress();
        // One that has got to the head and was not polled since has asked nothing: it only knows of those before it.
        let has_asked = progress.stage != Stage::Waiting;
        let is_silent = has_asked && progress.unanswered.is_some_and(|since| since <= self.begun);
        match progress.stage {
            Stage::Held(_) | Stage::Lapsing { .. } => self.timeout(Some(Holder::clone(&head.request.holder))),
            Stage::Queued => self.queue_timeout().await,
            _ if progress.cause.is_some() || is_silent => self.in_the_way(head).unwrap_or_else(|| self.no_answer()),
            _ => self.timeout(None),
        }
    }
}
