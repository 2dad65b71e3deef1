//! Renewing all entries of a session in one request, and taking entries out.

use super::answer;
use super::server::{Request, lock};
use super::session::{GONE, Shared, State};
use crate::contract::Entry;
use crate::values::error::Error;
use crate::world::clock::Clock;
use redis::Value;
use std::sync::Arc;
use std::time::Duration;

/// How many entries go into one request: the server does nothing else meanwhile, for some milliseconds.
const AT_ONCE: usize = 2000;

/// What is to be done to one entry.
struct Item {
    number: u64,
    name: String,
    token: String,
    /// Renewed, or taken out.
    stays: bool,
    /// The store has told that it is there.
    is_known: bool,
}

pub(super) async fn renew(shared: &Arc<Shared>) -> Result<(), Error> {
    shared.check()?;
    let limit = shared.store.server.config.attempt().min(shared.ttl / 3);
    let sent = Clock::Boot.now();
    let items = items(shared, true);
    if items.is_empty() {
        shared.store.server.command(limit, &redis::cmd("PING")).await?;
    }
    let mut found = Vec::new();
    for some in items.chunks(AT_ONCE) {
        found.extend(tend(shared, some, limit).await?);
    }
    shared.renewed(sent);
    let mut must_look = false;
    {
        let mut slots = lock(&shared.slots);
        for (item, letter) in items.iter().zip(found) {
            let Some(slot) = slots.get_mut(&item.number) else { continue };
            match letter {
                b'g' if item.is_known => slot.becomes(State::Gone),
                // Its turn came, and nobody told.
                b'h' if matches!(slot.state(), State::Queued) => {
                    slot.due = Some(Clock::Boot.now());
                    must_look = true;
                }
                _ => {}
            }
        }
    }
    if must_look {
        shared.attention.send_replace(());
    }
    lock(&shared.strays).retain(|_, (_, renewals)| {
        *renewals -= 1;
        *renewals > 0
    });
    Ok(())
}

/// Takes the entry out of the line, or off the lock.
pub(super) async fn leave(shared: &Arc<Shared>, entry: &Arc<Entry>) -> Result<(), Error> {
    let name = shared.name(entry)?;
    let in_doubt = lock(&shared.slots).get(&entry.number).is_some_and(|slot| slot.in_doubt);
    let in_doubt = in_doubt || lock(&shared.strays).contains_key(&entry.number);
    // From now on each renewal takes it out, until that has succeeded.
    shared.forget(entry, true);
    let item = Item { number: entry.number, name, token: shared.token(entry), stays: false, is_known: true };
    tend(shared, &[item], shared.store.server.config.attempt()).await?;
    if !in_doubt {
        lock(&shared.strays).remove(&entry.number);
    }
    Ok(())
}

/// Takes all entries out.
pub(super) async fn withdraw_all(shared: &Arc<Shared>) -> Result<(), Error> {
    for some in items(shared, false).chunks(AT_ONCE) {
        tend(shared, some, shared.store.server.config.attempt()).await?;
    }
    lock(&shared.slots).clear();
    lock(&shared.strays).clear();
    Ok(())
}

pub(super) async fn keep(shared: &Shared, entry: &Entry, least: Duration) -> Result<(), Error> {
    let arguments = vec![milliseconds(least).to_string().into(), shared.token(entry).into()];
    match shared.ask("keep", shared.name(entry)?, arguments).await.result? {
        Value::Int(1) => Ok(()),
        _ => Err(Error::lost(GONE)),
    }
}

/// Everything of the session that is, or may be, in the store.
fn items(shared: &Shared, stays: bool) -> Vec<Item> {
    let item = |entry: &Entry, stays, is_known| {
        let (name, token) = (shared.name(entry).ok()?, shared.token(entry));
        Some(Item { number: entry.number, name, token, stays, is_known })
    };
    let slots = lock(&shared.slots);
    let present = slots.values().filter(|slot| slot.state() != State::Gone);
    let mut items: Vec<Item> =
        present.filter_map(|slot| item(&slot.entry, stays, slot.state() != State::Asked)).collect();
    items.extend(lock(&shared.strays).values().filter_map(|(entry, _)| item(entry, false, false)));
    items
}

/// One request; a letter for each item.
async fn tend(shared: &Shared, items: &[Item], limit: Duration) -> Result<Vec<u8>, Error> {
    let mut arguments = vec![milliseconds(shared.ttl).to_string().into_bytes()];
    arguments.extend(items.iter().map(|item| format!("{}{}", if item.stays { '+' } else { '-' }, item.token).into()));
    let keys = items.iter().map(|item| item.name.clone()).collect();
    let value = shared.store.server.ask(limit, &Request { what: "tend", keys, arguments }).await.result?;
    match answer::bytes(&value) {
        Some(letters) if letters.len() == items.len() => Ok(letters.to_vec()),
        _ => Err(answer::strange(&value)),
    }
}

/// Rounded up, and never nothing.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX >> 12).max(1)
}
