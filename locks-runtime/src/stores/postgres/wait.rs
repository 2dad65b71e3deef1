//! Waiting for one's turn. A release hands the lock to the first in the queue and notifies that one, so that a wait costs
//! no further statement. Waiters ask only behind a holder that never releases the lock, once its time is over.

use super::enter;
use super::entries::Status;
use super::error::ENTRY_LAPSED;
use super::row::{View, column, number};
use super::shared::Shared;
use crate::contract::{Backoff, Entry, Grant, WhenBusy};
use crate::values::error::{Error, ErrorKind};
use crate::values::target::TARGET;
use crate::world::World;
use crate::world::clock::Moment;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::types::Type;

/// Each waiter asks so much later than the one before it: the first finds the lock free, and the others that it did.
const STAGGER: Duration = Duration::from_millis(15);

/// Through a pool of connections no notification arrives: the first in the queue asks so often, those behind it less.
const POLL: Duration = Duration::from_millis(120);
const LONGEST_POLL: Duration = Duration::from_secs(2);

/// The pauses while the database does not answer.
const SHORTEST_RETRY: Duration = Duration::from_millis(20);
const LONGEST_RETRY: Duration = Duration::from_secs(1);

pub(super) async fn wait_turn(shared: &Shared, entry: &Arc<Entry>) -> Result<Grant, Error> {
    let world = &shared.client.world;
    let unknown = || Error::lost("the entry is not in the queue");
    let mut status = shared.entries.get(entry.number, |state| state.subscribe()).ok_or_else(unknown)?;
    let mut arrive = shared.client.notifications.arrive();
    let mut backoff = Backoff::new(world, SHORTEST_RETRY, LONGEST_RETRY);
    let mut retry = None;
    loop {
        shared.check()?;
        let now = *status.borrow_and_update();
        let pause = match now {
            Status::Held(fence) => return Ok(Grant::new(fence)),
            Status::Removed(reason) => return Err(Error::lost(reason)),
            Status::Left => return Err(Error::lost("the entry has left the queue")),
            Status::Sent => Duration::ZERO,
            Status::Queued { ahead, until } => pause(world, shared.ttl, *arrive.borrow_and_update(), ahead, until),
        };
        tokio::select! {
            biased;
            changed = status.changed() => changed.map_err(|_| unknown())?,
            Ok(()) = arrive.changed() => {}
            () = tokio::time::sleep(retry.unwrap_or(pause)) => match look(shared, entry).await {
                Ok(()) => {
                    backoff.reset();
                    retry = None;
                }
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    tracing::debug!(target: TARGET, error = %error.chain(), "waiting for a lock although PostgreSQL does not answer");
                    retry = Some(backoff.pause());
                }
                Err(error) => return Err(error),
            },
        }
    }
}

/// How long to wait before asking if no notification arrives meanwhile. `arrive` is whether any does.
pub(super) fn pause(world: &World, ttl: Duration, arrive: bool, ahead: u32, until: Moment) -> Duration {
    let left = until.since(world.now()) + STAGGER.saturating_mul(ahead) + world.between(Duration::ZERO, STAGGER);
    let most = if arrive {
        // A renewal shows the entry's status as well, so this is for what nobody thought of.
        world.between(ttl / 2, ttl).clamp(Duration::from_secs(1), Duration::from_secs(60))
    } else {
        let longest = POLL.saturating_mul(ahead.saturating_add(1)).min(LONGEST_POLL);
        world.between(longest / 2, longest)
    };
    left.min(most)
}

/// Asks for the entry's status, without a change to the row unless the lock turns out to be free.
async fn look(shared: &Shared, entry: &Arc<Entry>) -> Result<(), Error> {
    let client = &shared.client;
    let name = client.name(&entry.key)?;
    let values = [(&name as _, Type::TEXT), (&shared.id as _, Type::TEXT), (&number(entry) as _, Type::INT8)];
    // By the connection that receives notifications: if it broke, this makes it anew.
    let answer = client.ask(&client.upkeep, &client.statements.look, &values).await?;
    let status = match answer.rows.first() {
        None => None,
        Some(row) => {
            let status = View::read(row, &shared.id, entry)?.status(client.world.now());
            if matches!(status, Some(Status::Queued { .. })) && column::<f64>(row, "seconds")? <= 0.0 {
                return enter::enter(shared, entry, WhenBusy::Queue).await.map(drop);
            }
            status
        }
    };
    let status = status.unwrap_or(Status::Removed(ENTRY_LAPSED));
    shared.entries.get(entry.number, |state| state.advance(status));
    Ok(())
}
