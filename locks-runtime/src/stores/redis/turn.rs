//! Waiting for one's turn.
//!
//! Who gives a lock up gives it to the first waiter in the same step, and the server tells that one's client; so nobody
//! has to ask. Somebody must nevertheless look out for holders that do not tell: those that lapse, and clients of other
//! projects. That is the first waiter alone. For all others a look every few seconds stands behind what may get lost.
//! One task looks after all queued entries of a session, and asks about all that are due in one request.

use super::answer::{self, Answer, Outlook};
use super::server::{Request, lock};
use super::session::{GONE, Shared, Slot, State};
use crate::contract::{Entry, beside};
use crate::values::error::Error;
use crate::world::clock::{Clock, Moment};
use crate::world::random;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// How often the first waiter looks at a lock whose holder does not tell.
const QUICK: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(300));
/// How often everybody looks, whatever is told.
const SLOW: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(6));
/// Who is due so soon is looked at with who is due now.
const AT_ONCE: Duration = Duration::from_millis(10);
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
            slot.due = due;
        }
    });
    if !shared.attended.swap(true, Ordering::AcqRel) {
        beside(attend(Arc::downgrade(shared), shared.attention.subscribe()));
    }
    shared.attention.send_replace(());
}

/// When to look at this place in line, sooner than at all of them and if nothing is told before: if it is the first.
fn due(outlook: Outlook, is_told: bool) -> Option<Moment> {
    if !outlook.is_first {
        return None;
    }
    let lapses = outlook.left.map(|left| left + JUST_AFTER);
    let quick = (!outlook.is_ours || !is_told).then(|| random::between(QUICK.0, QUICK.1));
    let pause = lapses.into_iter().chain(quick).min()?;
    Some(Clock::Boot.now() + pause)
}

/// Looks after the queued entries of a session for as long as there is one.
async fn attend(session: Weak<Shared>, mut attention: watch::Receiver<()>) {
    let mut round = next_round();
    loop {
        let pause = {
            let Some(shared) = session.upgrade() else { return };
            let slots = lock(&shared.slots);
            let is_waiting = slots.values().any(|slot| slot.state() == State::Queued);
            let first = slots.values().filter_map(|slot| slot.due).chain(is_waiting.then_some(round)).min();
            first.map(|first| first.since(Clock::Boot.now()))
        };
        tokio::select! {
            biased;
            changed = attention.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(pause.unwrap_or(Duration::from_secs(3600))) => {
                let Some(shared) = session.upgrade() else { return };
                let is_round = Clock::Boot.now() >= round;
                if is_round {
                    round = next_round();
                }
                look(&shared, take_due(&shared, is_round)).await;
            }
        }
    }
}

fn next_round() -> Moment {
    Clock::Boot.now() + random::between(SLOW.0, SLOW.1)
}

/// Those that are due now, or nearly, or all that wait. Each is due again if no answer comes.
fn take_due(shared: &Shared, all: bool) -> Vec<Arc<Entry>> {
    let soon = Clock::Boot.now() + AT_ONCE;
    let again = soon + random::between(QUICK.0, QUICK.1) * 3;
    let mut slots = lock(&shared.slots);
    let is_due = |slot: &&mut Slot| slot.due.is_some_and(|due| due <= soon) || (all && slot.state() == State::Queued);
    let due = slots.values_mut().filter(is_due);
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
            Answer::Queued(outlook) if slot.state() == State::Queued => slot.due = due(outlook, is_live),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(is_first: bool, is_ours: bool, left: Option<u64>, is_told: bool) -> Option<Duration> {
        let outlook = Outlook { is_first, is_ours, left: left.map(Duration::from_millis) };
        let now = Clock::Boot.now();
        due(outlook, is_told).map(|due| due.since(now))
    }

    #[test]
    fn only_the_first_looks_often_and_only_if_nobody_will_tell() {
        let (quickest, slowest) = (QUICK.0, QUICK.1 + JUST_AFTER);
        for _ in 0..100 {
            assert_eq!(pause(false, false, Some(1), false), None);
            assert_eq!(pause(true, true, None, true), None);
            assert!(pause(true, true, Some(60_000), true) >= Some(Duration::from_secs(60)), "when the hold lapses");
            for (ours, left, told) in [(false, None, true), (false, Some(60_000), true), (true, Some(60_000), false)] {
                let pause = pause(true, ours, left, told).unwrap();
                assert!(pause >= quickest && pause <= slowest, "{pause:?}");
            }
            assert!(pause(true, false, Some(20), true) < Some(quickest), "when the hold lapses");
        }
    }
}
