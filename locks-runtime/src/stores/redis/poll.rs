//! The task that asks the server about the entries of a session, all that are due in one request.
//!
//! A client that releases a lock grants it to the first waiter in the same step, and the server notifies that waiter's
//! client, which then asks here. Some holders do not notify: those that lapse, and clients of other projects. For these the
//! first waiter polls, and no other. Every few seconds all waiters poll, in case a notification was lost.

use super::each;
use super::entries::{EntryState, Status};
use super::pace::{self, HintPace};
use super::reply::{self, EntryReply, QueuePosition};
use super::shared::Shared;
use super::subscribed;
use crate::contract::Entry;
use crate::values::error::Error;
use crate::values::target::TARGET;
use crate::world::World;
use crate::world::clock::Moment;
use redis::Value;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// How often every waiter polls, whatever notifications come.
const ALL_EVERY: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(6));
/// Entries that are due so soon are polled with those that are due now.
const TOGETHER: Duration = Duration::from_millis(2);
/// If no answer comes, an entry is due again after this.
const AGAIN: (Duration, Duration) = (Duration::from_millis(300), Duration::from_millis(900));
/// How much longer than until the end of a hold to wait, so that it is over for the server too.
const AFTER_EXPIRY: Duration = Duration::from_millis(2);

/// Starts the session's task, unless it runs, and the subscription that spares it most of its work.
pub(super) fn start(shared: &Arc<Shared>) {
    subscribed::start(&shared.subscription);
    if !shared.polls.swap(true, Ordering::AcqRel) {
        shared.client.world.spawn(run(Arc::downgrade(shared), shared.entries.wakes()));
    }
}

/// Notes when to poll for a queued entry, sooner than for all and if no notification comes before: if it is the first.
/// `others` is how many entries of the session, this one included, wait for holders that do not notify.
pub(super) fn schedule(world: &World, state: &mut EntryState, position: QueuePosition, is_live: bool, others: usize) {
    state.is_first = position.is_first;
    state.poll_at = None;
    if !position.is_first {
        return;
    }
    let now = world.now();
    let often = if position.notifies {
        (!is_live).then(|| pace::unnotified(world))
    } else {
        let since = match state.holder.take() {
            Some((mark, since)) if mark == position.mark => since,
            _ => now,
        };
        state.holder = Some((position.mark, since));
        Some(pace::foreign(world, now.since(since), others))
    };
    let lapses = position.expires_in.map(|left| left + AFTER_EXPIRY);
    state.poll_at = lapses.into_iter().chain(often).min().map(|pause| now + pause);
}

/// Polls for the entries of a session for as long as there is one.
async fn run(session: Weak<Shared>, mut wakes: watch::Receiver<()>) {
    let Some(world) = session.upgrade().map(|shared| shared.client.world.clone()) else { return };
    let mut all_due = next_for_all(&world);
    let mut hints = HintPace::default();
    loop {
        let pause = {
            let Some(shared) = session.upgrade() else { return };
            next_due(&shared, all_due, &hints).map(|due| due.since(world.now()))
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
                let due = if shared.entries.take_poll_all() { all(&shared) } else { take_due(&shared, is_all, &hints) };
                let is_hinted = due.iter().any(|due| due.is_hinted);
                let was_right = poll(&shared, &due).await;
                if is_hinted {
                    hints.looked(world.now(), was_right);
                }
            }
        }
    }
}

/// An entry to ask about.
struct Due {
    entry: Arc<Entry>,
    /// What was known when it was sent.
    status: Status,
    /// A notification says that something has changed.
    is_hinted: bool,
}

fn next_for_all(world: &World) -> Moment {
    world.now() + world.between(ALL_EVERY.0, ALL_EVERY.1)
}

/// When the next entry is due; `all_due` is when all that are queued are.
fn next_due(shared: &Shared, all_due: Moment, hints: &HintPace) -> Option<Moment> {
    if shared.entries.must_poll_all() {
        return Some(shared.client.world.now());
    }
    let due = |_: &Arc<Entry>, state: &mut EntryState, is_leaving: bool| {
        let hinted_at = state.hinted_at.map(|at| hints.not_before(at));
        let all_due = (state.status() == Status::Queued).then_some(all_due);
        let due = state.poll_at.into_iter().chain(hinted_at).chain(all_due).min();
        due.filter(|_| !is_leaving)
    };
    shared.entries.ledger.collect(due).into_iter().min()
}

/// The entries that are due now, or nearly, or all that are queued. Each is due again in case no answer comes.
fn take_due(shared: &Shared, is_all: bool, hints: &HintPace) -> Vec<Due> {
    let world = &shared.client.world;
    let soon = world.now() + TOGETHER;
    let again = soon + world.between(AGAIN.0, AGAIN.1);
    shared.entries.ledger.collect(|entry, state, is_leaving| {
        let is_hinted = state.hinted_at.is_some_and(|at| hints.not_before(at) <= soon);
        let is_queued = state.status() == Status::Queued;
        let is_due = is_hinted || state.poll_at.is_some_and(|due| due <= soon) || (is_all && is_queued);
        if is_leaving || !is_due {
            return None;
        }
        state.poll_at = Some(again);
        if is_hinted {
            state.hinted_at = None;
        }
        Some(Due { entry: Arc::clone(entry), status: state.status(), is_hinted })
    })
}

/// Every entry that is, or may be, in the store: a notification about it may have been missed.
fn all(shared: &Shared) -> Vec<Due> {
    shared.entries.ledger.collect(|entry, state, is_leaving| {
        let is_there = !is_leaving && !matches!(state.status(), Status::Gone | Status::Lapsing);
        is_there.then(|| Due { entry: Arc::clone(entry), status: state.status(), is_hinted: false })
    })
}

/// Returns whether a notification was right that something has changed.
async fn poll(shared: &Shared, due: &[Due]) -> bool {
    match replies(shared, due).await {
        Ok(replies) => note(shared, due, replies),
        Err(error) => {
            tracing::debug!(target: TARGET, error = %error.chain(), "waiting for a lock although Redis does not answer");
            false
        }
    }
}

async fn replies(shared: &Shared, due: &[Due]) -> Result<Vec<Result<EntryReply, Error>>, Error> {
    let item = |due: &Due| {
        let sign = if matches!(due.status, Status::Held(_)) { "=" } else { "" };
        Ok(each::Items { locks: shared.locks(&due.entry)?, argument: format!("{sign}{}", shared.token(&due.entry)) })
    };
    let items: Vec<each::Items> = due.iter().map(item).collect::<Result<_, Error>>()?;
    let limit = shared.client.config.request_timeout();
    let replies = each::run_for_each(&shared.client, limit, "poll", "", &items).await?;
    let of_entry = |replies: Vec<Result<Value, Error>>| {
        let replies = replies.into_iter().map(|reply| reply::entry(&reply?));
        Ok(reply::of_all(replies.collect::<Result<_, Error>>()?))
    };
    Ok(replies.into_iter().map(of_entry).collect())
}

/// Notes what the server replied; returns whether anything has changed of which a notification had come.
fn note(shared: &Shared, due: &[Due], replies: Vec<Result<EntryReply, Error>>) -> bool {
    let (world, is_live) = (&shared.client.world, shared.subscription.is_live());
    let is_foreign = |reply: &Result<EntryReply, Error>| matches!(reply, Ok(EntryReply::Queued(position)) if position.is_first && !position.notifies);
    let others = replies.iter().filter(|reply| is_foreign(reply)).count();
    let mut was_right = false;
    for (due, reply) in due.iter().zip(replies) {
        let changed = shared.entries.ledger.get(due.entry.number, |state| {
            let before = (state.status(), state.is_first);
            match reply {
                Ok(EntryReply::Held(grant)) => state.note_held(&grant),
                // The request to enter may not have arrived yet.
                Ok(EntryReply::Gone | EntryReply::Busy(_)) if due.status != Status::Requested => {
                    state.note(Status::Gone);
                }
                // A grant that was believed, and is none.
                Ok(EntryReply::Queued(_)) if matches!(due.status, Status::Held(_)) => state.note(Status::Gone),
                Ok(EntryReply::Queued(position)) if state.status() == Status::Queued => {
                    schedule(world, state, position, is_live, others);
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(target: TARGET, error = %error.chain(), "Redis does not say whether a lock is granted"),
            }
            before != (state.status(), state.is_first)
        });
        was_right |= due.is_hinted && changed == Some(true);
    }
    was_right
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(is_first: bool, notifies: bool, left: Option<u64>) -> QueuePosition {
        QueuePosition { is_first, notifies, expires_in: left.map(Duration::from_millis), mark: b"x".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_first_polls_often_and_only_if_no_notification_will_come() {
        let world = World::here();
        let pause = |is_first, notifies, left: Option<u64>, is_live| {
            let mut state = EntryState::default();
            schedule(&world, &mut state, position(is_first, notifies, left), is_live, 1);
            state.poll_at.map(|due| due.since(world.now()))
        };
        for _ in 0..100 {
            assert_eq!(pause(false, false, Some(1), false), None);
            assert_eq!(pause(true, true, None, true), None);
            assert!(pause(true, true, Some(60_000), true) >= Some(Duration::from_secs(60)), "when the hold lapses");
            for (ours, left, live) in [(false, None, true), (false, Some(60_000), true), (true, Some(60_000), false)] {
                let pause = pause(true, ours, left, live).unwrap();
                assert!(pause <= Duration::from_millis(300), "{pause:?}");
            }
            assert!(pause(true, true, Some(20), false) < Some(Duration::from_millis(30)), "when the hold lapses");
        }
    }

    /// Another holder is one that may be gone soon.
    #[tokio::test(start_paused = true)]
    async fn a_foreign_hold_that_lasts_is_polled_for_less_and_less_and_a_new_one_soon() {
        let (world, mut state) = (World::here(), EntryState::default());
        let mut looks = 0;
        let begun = world.now();
        while world.now().since(begun) < Duration::from_secs(60) {
            schedule(&world, &mut state, position(true, false, None), true, 1);
            tokio::time::sleep(state.poll_at.unwrap().since(world.now())).await;
            looks += 1;
        }
        assert!(looks < 600, "{looks} looks in a minute");
        schedule(&world, &mut state, QueuePosition { mark: b"y".into(), ..position(true, false, None) }, true, 1);
        assert!(state.poll_at.unwrap().since(world.now()) < Duration::from_millis(10));
    }
}
