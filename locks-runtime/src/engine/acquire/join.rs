//! Joining a hold that this task runs under already.

use super::attempt::{Attempt, Position};
use crate::engine::context::{self, Outer};
use crate::engine::queue::{QueueName, Stage};
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::LARGEST_RECORD;
use crate::values::mode::Mode;
use std::sync::Arc;
use std::time::Duration;

/// As what a request joins a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joins {
    /// A guard: how the futures of a body use theirs is for the body to order.
    Guard,
    /// A body inside the body: one at a time.
    Body,
    /// The same, on a thread that is blocked meanwhile.
    BlockingBody,
}

/// Joins the hold `outer`; returns the turn of a body, which others wait for.
pub(super) async fn join(attempt: &Arc<Attempt>, outer: &Outer, joins: Joins) -> Result<Option<Position>, Error> {
    let hold = &outer.hold;
    hold.check()?;
    attempt.check_mode_inside(hold.mode())?;
    let turn = match joins {
        Joins::Guard => None,
        Joins::Body | Joins::BlockingBody => tokio::select! {
            biased;
            turn = attempt.turn_inside(outer, joins) => Some(turn?),
            reason = hold.ended() => return Err(hold.lost_error(&reason)),
        },
    };
    if let Some(least) = attempt.request.options.hold_at_least {
        let limit = attempt.time_left().unwrap_or(attempt.engine.defaults.connect_timeout);
        let extended = attempt.engine.world.runtime().within(limit, attempt.extend_joined(outer, least)).await;
        extended.unwrap_or_else(|| Err(attempt.no_answer()))?;
    }
    hold.check()?;
    Ok(turn)
}

impl Attempt {
    /// Inside a writer everybody is alone already. Others would have to wait for the hold that they are inside.
    fn check_mode_inside(&self, outer: Mode) -> Result<(), Error> {
        let inner = self.request.options.mode;
        let joins = match outer {
            Mode::Exclusive => true,
            Mode::Shared => inner == Mode::Shared,
            Mode::Permits(_) => matches!(inner, Mode::Permits(_)),
        };
        if joins {
            return Ok(());
        }
        let holder = &self.request.holder;
        let text = format!(
            "waiting in {} ({}) for the lock as {inner} would never end: it runs inside a body that has the lock as {outer}; \
             take it as {inner} there, or end that body first",
            holder.name, holder.origin
        );
        Err(Error::new(ErrorKind::Deadlock, text))
    }

    /// Who wants to be elected leader does not have the key already, and says no more of itself than a store keeps.
    pub(super) fn check_candidate(&self, outer: Option<&Outer>) -> Result<(), Error> {
        let holder = &self.request.holder;
        if holder.value.is_none() {
            return Ok(());
        }
        if outer.is_some() {
            let text = format!(
                "waiting in {} ({}) to be elected would never end: it runs inside a body that has this key, as a leader or as a lock; \
                 campaign outside of that, or under a key of its own",
                holder.name, holder.origin
            );
            return Err(Error::new(ErrorKind::Deadlock, text));
        }
        let Some(size) = holder.too_large() else { return Ok(()) };
        Err(Error::invalid_option(format!(
            "the record with the leader's `value` would have {size} bytes, and at most {LARGEST_RECORD} are kept; keep the data \
             elsewhere, and let the value say where"
        )))
    }

    /// Who asks for several locks has none of them: otherwise it would wait for itself.
    pub(super) fn check_apart(&self) -> Result<(), Error> {
        if self.request.under.is_empty() || self.request.others.is_empty() {
            return Ok(());
        }
        let Some(outer) = context::overlapping(&self.engine, &self.request) else { return Ok(()) };
        let (holder, held) = (&self.request.holder, outer.hold.key().shown());
        let text = format!(
            "waiting in {} ({}) for several locks would never end: it runs inside a body that has one of them, {held}, and not all; \
             take all of them outside, at one moment",
            holder.name, holder.origin
        );
        Err(Error::new(ErrorKind::Deadlock, text))
    }

    /// Waits until no other body runs inside the one that has the hold.
    async fn turn_inside(&self, outer: &Outer, joins: Joins) -> Result<Position, Error> {
        let name = QueueName::Body(outer.id);
        let would_wait = joins == Joins::BlockingBody && self.request.options.wait.is_none();
        if would_wait && self.engine.queues.head(&name).is_some() {
            return Err(self.blocks_itself());
        }
        loop {
            if let Some((position, _)) = self.join(&name).await? {
                position.answered(Stage::Held(self.now()));
                return Ok(position);
            }
            if self.is_over() {
                return Err(self.timeout(None));
            }
        }
    }

    /// Has the store keep the lock for an inner body's `hold_at_least`, again if it fails.
    async fn extend_joined(&self, outer: &Outer, least: Duration) -> Result<(), Error> {
        let mut backoff = self.backoff();
        loop {
            match outer.hold.extend(least).await {
                Err(error) if error.kind() == ErrorKind::Unavailable && !self.request.options.tries_once() => {}
                result => return result,
            }
            self.engine.world.runtime().sleep(backoff.pause()).await;
        }
    }

    /// A plain function waits for a future of the task whose thread it blocks.
    fn blocks_itself(&self) -> Error {
        let holder = &self.request.holder;
        let text = format!(
            "waiting in {} ({}) would never end: it blocks the thread that another body inside this lock needs to go on; \
             make it an async function, or do not run the two at the same time",
            holder.name, holder.origin
        );
        Error::new(ErrorKind::Deadlock, text)
    }
}
