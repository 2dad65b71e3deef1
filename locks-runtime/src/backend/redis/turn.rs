//! Waiting for one's turn.
//!
//! Who gives a lock up gives it to the first waiter in the same step, and the server tells that one's client; so nobody
//! has to ask. Somebody must nevertheless look out for holders that do not tell: those that lapse, and clients of other
//! projects. That is the first waiter alone. For all others a look every few seconds stands behind what may get lost.
//! One task looks after all queued entries of a session, and asks about all that are due in one request.

use super::answer::{self, Answer, Outlook};
use super::server::{Request, lock};
use super::session::{GONE, Shared, State};
use crate::backend::{Entry, beside};
use crate::clock::{Clock, Moment};
use crate::error::Error;
use crate::random;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// How often the first waiter looks at a lock whose holder does not tell.
const QUICK: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(300));
/// How often everybody looks, whatever is told.
const SLOW: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(6));
/// How much longer than a holder's time to wait, so that it is over for the server too.
const JUST_AFTER: Duration = Duration::from_millis(2);

pub(super) async fn turn(shared: &Arc<Shared>, entry: &Entry) -> Result<u64, Error> {
    shared.check()?;
    let state = lock(&shared.slots).get(&entry.number).map(|slot| slot.state.subscribe());
    let Some(mut state) = state else { return Err(Error::lost("the entry is not in line")) };
    let ended = state.wait_for(|state| matches!(state, State::Held(_) | State::Gone)).await.map(|state| *state);
    match ended {
        Ok(State::Held(fence)) => Ok(fence),
        Ok(_) => Err(Error::lost(GONE)),
        Err(_) => Err(Error::lost("the entry was taken out of the line")),
    }
}

/// The entry stands in line: it will be told of its turn, and looked after.
pub(super) fn queued(shared: &Arc<Shared>, entry: &Arc<Entry>, outlook: Outlook) {
    shared.store.hub.listen(&shared.store);
    let due = due(outlook, shared.store.hub.is_live());
    shared.slot(entry, |slot| {
        slot.becomes(State::Queued);
        if slot.state() == State::Queued {
            slot.due = Some(due);
        }
    });
    if !shared.attended.swap(true, Ordering::AcqRel) {
        beside(attend(Arc::downgrade(shared), shared.attention.subscribe()));
    }
    shared.attention.send_replace(());
}

/// When to look at a place in line again, if nothing is told before.
fn due(outlook: Outlook, is_told: bool) -> Moment {
    let pause = |(low, high)| random::between(low, high);
    let pause = match outlook {
        Outlook { is_first: false, .. } => pause(SLOW),
        Outlook { is_ours: true, left, .. } if is_told => {
            left.map_or(pause(SLOW), |left| pause(SLOW).min(left + JUST_AFTER))
        }
        Outlook { left, .. } => left.map_or(pause(QUICK), |left| pause(QUICK).min(left + JUST_AFTER)),
    };
    Clock::Boot.now() + pause
}

/// Looks after the queued entries of a session for as long as there is one.
async fn attend(session: Weak<Shared>, mut attention: watch::Receiver<()>) {
    loop {
        let next = {
            let Some(shared) = session.upgrade() else { return };
            let next = lock(&shared.slots).values().filter_map(|slot| slot.due).min();
            next.map(|next| next.since(Clock::Boot.now()))
        };
        tokio::select! {
            biased;
            changed = attention.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(next.unwrap_or(Duration::from_secs(3600))) => {
                let Some(shared) = session.upgrade() else { return };
                let due = take_due(&shared);
                if !due.is_empty() {
                    look(&shared, due).await;
                }
            }
        }
    }
}

/// Those that are due now, or nearly. Each is due again if no answer comes.
fn take_due(shared: &Shared) -> Vec<Arc<Entry>> {
    let soon = Clock::Boot.now() + JUST_AFTER;
    let again = soon + random::between(QUICK.0, QUICK.1) * 3;
    let mut slots = lock(&shared.slots);
    let due = slots.values_mut().filter(|slot| slot.due.is_some_and(|due| due <= soon));
    due.map(|slot| {
        slot.due = Some(again);
        Arc::clone(&slot.entry)
    })
    .collect()
}

/// Asks about every entry that is, or may be, in the store: something may have been told that did not come through.
pub(super) async fn look_at_all(shared: &Shared) {
    let all = lock(&shared.slots).values().map(|slot| Arc::clone(&slot.entry)).collect();
    look(shared, all).await;
}

async fn look(shared: &Shared, entries: Vec<Arc<Entry>>) {
    for some in entries.chunks(1000) {
        if let Err(error) = look_at(shared, some).await {
            tracing::debug!(%error, "waiting for a lock although Redis does not answer");
        }
    }
}

async fn look_at(shared: &Shared, entries: &[Arc<Entry>]) -> Result<(), Error> {
    let (mut keys, mut arguments) = (Vec::new(), Vec::new());
    let known: Vec<bool> = {
        let slots = lock(&shared.slots);
        let is_known = |entry: &Arc<Entry>| slots.get(&entry.number).is_some_and(|slot| slot.state() != State::Asked);
        entries.iter().map(is_known).collect()
    };
    for entry in entries {
        keys.push(shared.name(entry)?);
        arguments.push(shared.token(entry).into());
    }
    let request = Request { what: "look", keys, arguments };
    let value = shared.store.server.ask(shared.store.server.config.attempt(), &request).await.result?;
    let is_live = shared.store.hub.is_live();
    let mut slots = lock(&shared.slots);
    for ((entry, told), is_known) in entries.iter().zip(answer::items(&value)?).zip(known) {
        let told = answer::standing(told)?;
        let Some(slot) = slots.get_mut(&entry.number) else { continue };
        match told {
            Answer::Held(fence) => slot.becomes(State::Held(fence)),
            // What was only asked for may not have arrived yet.
            Answer::Gone | Answer::Busy { .. } if is_known => slot.becomes(State::Gone),
            Answer::Queued(outlook) if slot.state() == State::Queued => slot.due = Some(due(outlook, is_live)),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(is_first: bool, is_ours: bool, left: Option<u64>, is_told: bool) -> Duration {
        let outlook = Outlook { is_first, is_ours, left: left.map(Duration::from_millis) };
        let now = Clock::Boot.now();
        due(outlook, is_told).since(now)
    }

    #[test]
    fn only_the_first_looks_often_and_only_if_nobody_will_tell() {
        for _ in 0..100 {
            assert!(pause(true, true, Some(60_000), true) >= SLOW.0);
            assert!(pause(false, false, Some(1), false) >= SLOW.0);
            for (ours, left, told) in [(false, None, true), (false, Some(60_000), true), (true, Some(60_000), false)] {
                let pause = pause(true, ours, left, told);
                assert!(pause >= QUICK.0 && pause <= QUICK.1 + JUST_AFTER, "{pause:?}");
            }
            assert!(pause(true, true, Some(20), true) < QUICK.0, "the holder's time is known");
        }
    }
}
