//! The task that asks the server about the entries of a session, all that are due in one request.
//!
//! A client that releases a lock grants it to the first waiter in the same step, and the server notifies that waiter's
//! client; so no waiter has to poll for that. But some holders do not notify: those that lapse, and clients of other
//! projects. For these the first waiter polls, and no other. Every few seconds all waiters poll, in case a notification
//! was lost.

use super::client::Request;
use super::entries::{EntryState, Status};
use super::reply::{self, EntryReply, QueuePosition};
use super::shared::Shared;
use crate::contract::Entry;
use crate::values::error::Error;
use crate::values::target::TARGET;
use crate::world::World;
use crate::world::clock::Moment;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// How often the first waiter polls for a lock whose holder does not notify.
const FIRST_EVERY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(300));
/// How often every waiter polls, whatever notifications come.
const ALL_EVERY: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(6));
/// Entries that are due so soon are polled with those that are due now.
const TOGETHER: Duration = Duration::from_millis(10);
/// How much longer than until the end of a hold to wait, so that it is over for the server too.
const AFTER_EXPIRY: Duration = Duration::from_millis(2);
/// How many entries go into one request.
const LARGEST_BATCH: usize = 1000;

/// Starts the session's task, unless it runs, and the subscription that spares it most of its work.
pub(super) fn start(shared: &Arc<Shared>) {
    shared.subscription.start();
    if !shared.polls.swap(true, Ordering::AcqRel) {
        shared.client.world.spawn(run(Arc::downgrade(shared), shared.entries.wakes()));
    }
}

/// When to poll for a queued entry, sooner than for all and if no notification comes before: if it is the first.
pub(super) fn due(world: &World, position: QueuePosition, is_live: bool) -> Option<Moment> {
    if !position.is_first {
        return None;
    }
    let lapses = position.expires_in.map(|left| left + AFTER_EXPIRY);
    let often = (!position.notifies || !is_live).then(|| world.between(FIRST_EVERY.0, FIRST_EVERY.1));
    let pause = lapses.into_iter().chain(often).min()?;
    Some(world.now() + pause)
}

/// Polls for the entries of a session for as long as there is one.
async fn run(session: Weak<Shared>, mut wakes: watch::Receiver<()>) {
    let Some(world) = session.upgrade().map(|shared| shared.client.world.clone()) else { return };
    let mut all_due = next_for_all(&world);
    loop {
        let pause = {
            let Some(shared) = session.upgrade() else { return };
            next_due(&shared, all_due).map(|due| due.since(world.now()))
        };
        tokio::select! {
            biased;
            changed = wakes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(pause.unwrap_or(Duration::from_secs(3600))) => {
                let Some(shared) = session.upgrade() else { return };
                let is_all = world.now() >= all_due;
                if is_all {
                    all_due = next_for_all(&world);
                }
                let due = if shared.entries.take_poll_all() { all(&shared) } else { take_due(&shared, is_all) };
                poll(&shared, due).await;
            }
        }
    }
}

fn next_for_all(world: &World) -> Moment {
    world.now() + world.between(ALL_EVERY.0, ALL_EVERY.1)
}

/// When the next entry is due; `all_due` is when all that are queued are.
fn next_due(shared: &Shared, all_due: Moment) -> Option<Moment> {
    if shared.entries.must_poll_all() {
        return Some(shared.client.world.now());
    }
    let due = |_: &Arc<Entry>, state: &mut EntryState, is_leaving: bool| match state.status() {
        _ if is_leaving => None,
        Status::Queued => Some(state.poll_at.map_or(all_due, |due| due.min(all_due))),
        _ => state.poll_at,
    };
    shared.entries.ledger.collect(due).into_iter().min()
}

/// The entries that are due now, or nearly, or all that are queued. Each is due again in case no answer comes.
fn take_due(shared: &Shared, is_all: bool) -> Vec<Arc<Entry>> {
    let world = &shared.client.world;
    let soon = world.now() + TOGETHER;
    let again = soon + world.between(FIRST_EVERY.0, FIRST_EVERY.1) * 3;
    shared.entries.ledger.collect(|entry, state, is_leaving| {
        let is_due = state.poll_at.is_some_and(|due| due <= soon) || (is_all && state.status() == Status::Queued);
        (is_due && !is_leaving).then(|| {
            state.poll_at = Some(again);
            Arc::clone(entry)
        })
    })
}

/// Every entry that is, or may be, in the store: a notification about it may have been missed.
fn all(shared: &Shared) -> Vec<Arc<Entry>> {
    let known = |entry: &Arc<Entry>, state: &mut EntryState, is_leaving: bool| {
        (!is_leaving && state.status() != Status::Gone).then(|| Arc::clone(entry))
    };
    shared.entries.ledger.collect(known)
}

async fn poll(shared: &Shared, entries: Vec<Arc<Entry>>) {
    for batch in entries.chunks(LARGEST_BATCH) {
        if let Err(error) = poll_batch(shared, batch).await {
            tracing::debug!(target: TARGET, error = %error.chain(), "waiting for a lock although Redis does not answer");
        }
    }
}

async fn poll_batch(shared: &Shared, batch: &[Arc<Entry>]) -> Result<(), Error> {
    let is_known =
        |entry: &Arc<Entry>| shared.entries.status(entry.number).is_some_and(|status| status != Status::Requested);
    let known: Vec<bool> = batch.iter().map(is_known).collect();
    let locks = batch.iter().map(|entry| shared.lock(entry)).collect::<Result<_, _>>()?;
    let arguments = batch.iter().map(|entry| shared.token(entry).into()).collect();
    let value = shared.client.run(&Request { command: "poll", locks, arguments }).await.result?;
    let is_live = shared.subscription.is_live();
    for ((entry, reply), is_known) in batch.iter().zip(reply::items(&value)?).zip(known) {
        let reply = reply::entry(reply)?;
        shared.entries.ledger.get(entry.number, |state| match reply {
            EntryReply::Held(fence) => state.note(Status::Held(fence)),
            // The request to enter may not have arrived yet.
            EntryReply::Gone | EntryReply::Busy { .. } if is_known => state.note(Status::Gone),
            EntryReply::Queued(position) if state.status() == Status::Queued => {
                state.poll_at = due(&shared.client.world, position, is_live);
            }
            _ => {}
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_the_first_polls_often_and_only_if_no_notification_will_come() {
        let world = World::here();
        let pause = |is_first, notifies, left: Option<u64>, is_live| {
            let position = QueuePosition { is_first, notifies, expires_in: left.map(Duration::from_millis) };
            due(&world, position, is_live).map(|due| due.since(world.now()))
        };
        let (soonest, latest) = (FIRST_EVERY.0, FIRST_EVERY.1 + AFTER_EXPIRY);
        for _ in 0..100 {
            assert_eq!(pause(false, false, Some(1), false), None);
            assert_eq!(pause(true, true, None, true), None);
            assert!(pause(true, true, Some(60_000), true) >= Some(Duration::from_secs(60)), "when the hold lapses");
            for (ours, left, live) in [(false, None, true), (false, Some(60_000), true), (true, Some(60_000), false)] {
                let pause = pause(true, ours, left, live).unwrap();
                assert!(pause >= soonest && pause <= latest, "{pause:?}");
            }
            assert!(pause(true, false, Some(20), true) < Some(soonest), "when the hold lapses");
        }
    }
}
