//! Renewing all entries of a session, and withdrawing those that leave, in one request.

use super::client::{Request, milliseconds};
use super::entries::{EntryState, Status};
use super::reply;
use super::shared::Shared;
use crate::contract::Entry;
use crate::values::error::Error;
use std::time::Duration;

/// How many entries go into one request: the server does nothing else meanwhile, for some milliseconds.
const LARGEST_BATCH: usize = 2000;

/// What is to be done to one entry.
pub(super) struct Item {
    number: u64,
    lock: String,
    token: String,
    action: Action,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    /// `is_known`: the server has replied that it is there.
    Renew {
        is_known: bool,
    },
    Withdraw,
    /// As `Withdraw`, but if the entry is extended, it stays until that time is over.
    Lapse,
}

pub(super) async fn renew(shared: &Shared) -> Result<(), Error> {
    shared.check()?;
    let limit = shared.client.config.request_timeout().min(shared.ttl / 3);
    let sent = shared.client.world.now();
    let items = all(shared);
    if items.is_empty() {
        shared.client.send_within(limit, &redis::cmd("PING")).await?;
    }
    let letters = send(shared, &items, limit).await?;
    shared.renewed(sent);
    // First, so that an entry which becomes an orphan below is withdrawn by as many renewals as any other.
    shared.entries.ledger.renewed();
    let mut must_poll = false;
    for (item, letter) in items.iter().zip(letters) {
        must_poll |= note(shared, item, letter);
    }
    if must_poll {
        shared.entries.wake();
    }
    Ok(())
}

/// Notes what became of an entry; returns whether it is to be polled now.
fn note(shared: &Shared, item: &Item, letter: u8) -> bool {
    let ledger = &shared.entries.ledger;
    match (item.action, letter) {
        (Action::Withdraw | Action::Lapse, _) => ledger.left(item.number),
        (Action::Renew { is_known: true }, b'g') => shared.entries.note(item.number, Status::Gone),
        // Its turn came, and the notification did not.
        (Action::Renew { .. }, b'h') => {
            let poll_now = |state: &mut EntryState| {
                let is_queued = state.status() == Status::Queued;
                if is_queued {
                    state.poll_at = Some(shared.client.world.now());
                }
                is_queued
            };
            return ledger.get(item.number, poll_now).unwrap_or(false);
        }
        _ => {}
    }
    false
}

/// Withdraws one entry.
pub(super) async fn withdraw(shared: &Shared, entry: &Entry) -> Result<(), Error> {
    let item = Item::new(shared, entry, Action::Withdraw)?;
    send(shared, &[item], shared.client.config.request_timeout()).await.map(drop)
}

/// Withdraws an extended entry, which stays until its time is over.
pub(super) async fn let_lapse(shared: &Shared, entry: &Entry) -> Result<(), Error> {
    let item = Item::new(shared, entry, Action::Lapse)?;
    send(shared, &[item], shared.client.config.request_timeout()).await.map(drop)
}

/// Withdraws all entries that are, or may be, in the store.
pub(super) async fn withdraw_all(shared: &Shared) -> Result<(), Error> {
    let items: Vec<Item> = all(shared).into_iter().map(|item| Item { action: Action::Lapse, ..item }).collect();
    send(shared, &items, shared.client.config.request_timeout()).await.map(drop)
}

/// Everything of the session that is, or may be, in the store: what leaves and the orphans to be withdrawn, the rest to be
/// renewed.
fn all(shared: &Shared) -> Vec<Item> {
    let action = |status| match status {
        Status::Gone => None,
        Status::Leaving => Some(Action::Withdraw),
        Status::Requested => Some(Action::Renew { is_known: false }),
        Status::Queued | Status::Held(_) => Some(Action::Renew { is_known: true }),
    };
    let mut items = shared.entries.ledger.collect(|entry, state, is_leaving| {
        let action = if is_leaving { Some(Action::Withdraw) } else { action(state.status()) };
        Item::new(shared, entry, action?).ok()
    });
    let orphans = shared.entries.ledger.orphans();
    items.extend(orphans.iter().filter_map(|entry| Item::new(shared, entry, Action::Withdraw).ok()));
    items
}

/// One request for each batch; returns a letter for each item.
async fn send(shared: &Shared, items: &[Item], limit: Duration) -> Result<Vec<u8>, Error> {
    let mut letters = Vec::with_capacity(items.len());
    for batch in items.chunks(LARGEST_BATCH) {
        letters.extend(send_batch(shared, batch, limit).await?);
    }
    Ok(letters)
}

async fn send_batch(shared: &Shared, batch: &[Item], limit: Duration) -> Result<Vec<u8>, Error> {
    let mut arguments = vec![milliseconds(shared.ttl).to_string().into_bytes()];
    arguments.extend(batch.iter().map(|item| {
        let sign = match item.action {
            Action::Renew { .. } => '+',
            Action::Withdraw => '!',
            Action::Lapse => '-',
        };
        format!("{sign}{}", item.token).into_bytes()
    }));
    let locks = batch.iter().map(|item| item.lock.clone()).collect();
    let value = shared.client.run_within(limit, &Request { command: "renew", locks, arguments }).await.result?;
    match reply::bytes(&value) {
        Some(letters) if letters.len() == batch.len() => Ok(letters.to_vec()),
        _ => Err(reply::unexpected(&value)),
    }
}

impl Item {
    fn new(shared: &Shared, entry: &Entry, action: Action) -> Result<Self, Error> {
        Ok(Self { number: entry.number, lock: shared.lock(entry)?, token: shared.token(entry), action })
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::Client;
    use super::super::config::Config;
    use super::super::subscription::Subscription;
    use super::*;
    use crate::values::holder::Holder;
    use crate::values::key::Key;
    use crate::world::World;
    use std::sync::Arc;

    fn session() -> Arc<Shared> {
        let config = Config {
            host: "a".to_owned(),
            port: 6379,
            credentials: None,
            database: 0,
            namespace: String::new(),
            connect_timeout: Duration::from_secs(5),
            tls: None,
        };
        let client = Arc::new(Client::new(config, &World::here()).unwrap());
        let subscription = Arc::new(Subscription::new(&client).unwrap());
        let now = client.world.now();
        Shared::new(client, subscription, Duration::from_secs(10), now)
    }

    fn entry(number: u64) -> Arc<Entry> {
        Arc::new(Entry::new(Key::new("a").unwrap(), number, Holder::unknown().into()))
    }

    /// What the next renewal would send: a sign and the number of each entry.
    fn next(shared: &Shared) -> Vec<String> {
        let shown = |item: &Item| format!("{}{}", if item.action == Action::Withdraw { '-' } else { '+' }, item.number);
        all(shared).iter().map(shown).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_is_renewed_from_its_first_request_on_and_withdrawn_until_the_server_has_confirmed_it() {
        let shared = session();
        let ledger = &shared.entries.ledger;
        for number in [1, 2] {
            ledger.sent(&entry(number));
            ledger.resolved(number);
        }
        assert_eq!(next(&shared), ["+1", "+2"]);
        shared.entries.note(1, Status::Held(7));
        ledger.leaving(1, |state| state.note(Status::Leaving)).unwrap();
        assert_eq!(next(&shared), ["-1", "+2"]);
        assert_eq!(next(&shared), ["-1", "+2"], "no renewal was acknowledged");
        for item in all(&shared) {
            // The request for the second one may not have arrived yet.
            note(&shared, &item, b'g');
        }
        assert_eq!(next(&shared), ["+2"]);
        shared.entries.note(2, Status::Queued);
        let items = all(&shared);
        assert!(note(&shared, &items[0], b'h'), "its turn came, and no notification");
        note(&shared, &items[0], b'g');
        assert_eq!((shared.entries.status(2), next(&shared)), (Some(Status::Gone), vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_whose_request_is_unresolved_is_withdrawn_by_ten_renewals_more() {
        let shared = session();
        let ledger = &shared.entries.ledger;
        ledger.sent(&entry(1));
        ledger.leaving(1, |state| state.note(Status::Leaving)).unwrap();
        ledger.left(1);
        for _ in 0..10 {
            assert_eq!(next(&shared), ["-1"]);
            ledger.renewed();
        }
        assert!(next(&shared).is_empty());
    }
}
