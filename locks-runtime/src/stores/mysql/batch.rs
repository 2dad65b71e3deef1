//! What the entries of a session do at one moment, in one statement: see [batches](crate::contract::batches).
//!
//! Only what nobody else has to do with: locks that are free, or released without a waiter. What is not among the rows of the
//! answer has another holder, a queue, or a row that somebody has locked, and is done alone.

use super::error::{Failure, Verdict};
use super::free;
use super::shared::{Shared, Waiting};
use crate::contract::Entry;
use crate::contract::batches::{Batches, SendsBatches};
use crate::contract::database::{Outcome, Way, share};
use crate::values::error::Error;
use crate::world::World;
use std::sync::Arc;

/// Releases what the entry holds, if nobody waits for it; returns whether it did.
pub(super) async fn leave(session: &Arc<Shared>, entry: &Arc<Entry>) -> Result<bool, Error> {
    let name = session.client.name(&entry.key)?;
    match share(session, entry, &name, None).await? {
        Way::First(_direct) => Ok(free::leave(session, entry, &name).await?.done.is_some()),
        Way::Shared(outcome) => Ok(outcome.done.is_some()),
    }
}

impl SendsBatches for Shared {
    type Request = Waiting;
    /// In rows, which are all locked until the last of them is written.
    const ROOM: usize = 64;

    fn batches(&self) -> &Batches<Waiting> {
        &self.batches
    }

    fn world(&self) -> &World {
        &self.client.world
    }

    async fn send(self: Arc<Self>, members: Vec<Waiting>) {
        let (entering, leaving): (Vec<_>, Vec<_>) = members.into_iter().partition(|member| member.record.is_some());
        tokio::join!(enter_many(&self, entering), leave_many(&self, leaving));
    }
}

async fn enter_many(session: &Shared, members: Vec<Waiting>) {
    if !members.is_empty() {
        let outcomes = free::enter_many(session, &members).await;
        report(members, outcomes);
    }
}

async fn leave_many(session: &Shared, members: Vec<Waiting>) {
    if !members.is_empty() {
        let outcomes = free::leave_many(session, &members).await;
        report(members, outcomes);
    }
}

/// Whoever waited for it may have been dropped.
fn report(members: Vec<Waiting>, outcomes: Result<Vec<Outcome>, Failure>) {
    match outcomes {
        Ok(outcomes) => {
            for (member, outcome) in members.into_iter().zip(outcomes) {
                drop(member.outcome.send(Ok(outcome)));
            }
        }
        Err(failure) if matches!(failure.verdict, Verdict::Reconnect | Verdict::ReadOnly) => {
            members.into_iter().for_each(|member| drop(member.outcome.send(Err(failure.clone()))));
        }
        // Because of one of them, perhaps: each alone finds out.
        Err(failure) => {
            let outcome = Outcome { done: None, is_unresolved: failure.is_unresolved };
            members.into_iter().for_each(|member| drop(member.outcome.send(Ok(outcome))));
        }
    }
}
