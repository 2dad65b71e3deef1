//! Waiting for one's turn. A release hands the lock to the first in the queue and notifies that one, which looks whether it is
//! true: anybody can send a notification. Otherwise waiters ask only behind a holder that never releases the lock, once its
//! time is over.

use super::enter;
use super::entries::{Known, Status};
use super::error::ENTRY_LAPSED;
use super::look::look;
use super::removed::{LONGEST_PAUSE, SHORTEST_PAUSE};
use super::row::Shown;
use super::shared::Shared;
use crate::contract::{Backoff, Entry, Grant, WhenBusy};
use crate::values::error::{Error, ErrorKind};
use crate::values::target::TARGET;
use crate::world::World;
use crate::world::clock::Moment;
use std::sync::Arc;
use std::time::Duration;

/// Each waiter asks so much later than the one before it: the first finds the lock free, and the others that it did.
const STAGGER: Duration = Duration::from_millis(15);

/// Through a pool of connections no notification arrives: the first in the queue asks so often, those behind it less.
const POLL: Duration = Duration::from_millis(120);
const LONGEST_POLL: Duration = Duration::from_secs(2);

/// The pauses while the database does not answer.
const SHORTEST_RETRY: Duration = Duration::from_millis(20);
const LONGEST_RETRY: Duration = Duration::from_secs(1);

pub(super) async fn wait_turn(shared: &Arc<Shared>, entry: &Arc<Entry>) -> Result<Grant, Error> {
    let world = &shared.client.world;
    let unknown = || Error::lost("the entry is not in the queue");
    let mut known = shared.entries.get(entry.number, |state| state.subscribe()).ok_or_else(unknown)?;
    let notifications = &shared.client.notifications;
    let mut retries = Backoff::new(world, SHORTEST_RETRY, LONGEST_RETRY);
    let mut backoff = Backoff::new(world, SHORTEST_PAUSE, LONGEST_PAUSE);
    // No look before that moment: the database does not answer, or notifications were wrong.
    let mut quiet_until = world.now();
    // Of several locks, how many it was seen to hold.
    let (mut hinted, mut held) = (0, 0);
    loop {
        shared.check()?;
        let Known { status, turns, .. } = *known.borrow_and_update();
        let changed = notifications.changed();
        let arrive_now = notifications.arrive();
        let pause = match status {
            Status::Held(fence) => return granted(shared, entry, fence).ok_or_else(unknown),
            Status::Removed(reason) => return Err(Error::lost(reason)),
            Status::Left | Status::Lapsing { .. } => return Err(Error::lost("the entry has left the queue")),
            Status::Sent => Duration::ZERO,
            Status::Queued { .. } if turns != hinted => Duration::ZERO,
            Status::Queued { ahead, until } => pause(world, shared.ttl, arrive_now, ahead, until),
        };
        let pause = pause.max(quiet_until.since(world.now()));
        // A timer of no time fires with the next tick of the clock: up to a millisecond late.
        if !pause.is_zero() {
            tokio::select! {
                biased;
                changed = known.changed() => {
                    changed.map_err(|_| unknown())?;
                    continue;
                }
                () = changed => continue,
                () = tokio::time::sleep(pause) => {}
            }
        }
        match look_and_enter(shared, entry).await {
            Ok(seen) => {
                let is_turn = seen > held;
                held = seen;
                retries.reset();
                if turns == hinted {
                    backoff.reset();
                    if is_turn && arrive_now && known.borrow().turns == hinted {
                        shared.client.recheck_notifications();
                    }
                } else if !is_turn {
                    quiet_until = world.now() + backoff.pause();
                }
                hinted = turns;
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                tracing::debug!(target: TARGET, error = %error.chain(), "waiting for a lock although PostgreSQL does not answer");
                quiet_until = world.now() + retries.pause();
            }
            Err(error) => return Err(error),
        }
    }
}

/// What the entry got, with this fence of its first lock.
fn granted(shared: &Shared, entry: &Entry, fence: u64) -> Option<Grant> {
    shared.entries.get(entry.number, |state| state.grant(fence))
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

/// Looks at the entry, without a change to the row unless the lock turns out to be free. Returns how many of its locks a release
/// has handed to it.
async fn look_and_enter(shared: &Arc<Shared>, entry: &Arc<Entry>) -> Result<usize, Error> {
    let Shown { status, others, held } = look(shared, entry).await?;
    let status = status.unwrap_or(Status::Removed(ENTRY_LAPSED));
    if matches!(status, Status::Queued { until, .. } if until <= shared.client.world.now()) {
        enter::enter(shared, entry, WhenBusy::Queue).await?;
        return Ok(held);
    }
    shared.entries.get(entry.number, |state| state.show(status, &others));
    Ok(held)
}
