//! Renewing all entries of a session, and withdrawing those that leave.

use super::connect::milliseconds;
use super::each;
use super::entries::{EntryState, Status};
use super::lasting::{Hold, Lasting};
use super::reply::{self, Renewed};
use super::shared::Shared;
use crate::contract::{Entry, Renewal, Uncovered};
use crate::values::error::{Error, ErrorKind};
use crate::world::clock::Moment;
use redis::Value;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What is to be done to one entry.
#[derive(Clone, Debug)]
pub(super) struct Item {
    number: u64,
    locks: Vec<String>,
    token: String,
    action: Action,
    /// Until when the key of a held lock lasts, as far as that is known.
    lasts_until: Option<Moment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    /// The holders are first: what renews a waiter must not keep the server from renewing them.
    RenewHeld,
    /// It lasts long enough.
    LookAtHeld,
    Withdraw,
    /// As `Withdraw`, but not if it lapses by itself: a late request has put it there, or will.
    WithdrawOrphan,
    /// As `WithdrawOrphan`, but if the entry is extended, it stays until that time is over.
    Close,
    RenewQueued,
    /// No reply has come: it need not be there.
    RenewRequested,
}

pub(super) async fn renew(shared: &Shared) -> Result<Renewal, Error> {
    shared.check()?;
    let limit = limit(shared);
    let sent = shared.client.world.now();
    let mut items = all(shared);
    if items.is_empty() {
        shared.client.ping(limit).await?;
    }
    let length = choose(shared, sent, &mut items);
    let replies = send(shared, "renew", &items, length, limit).await?;
    let renewal = unless_all_failed(shared, &items, replies)?;
    note_prolonged(shared, &items, sent + length, &renewal);
    shared.renewed(sent);
    Ok(renewal)
}

/// Which holds are prolonged, and for how long: all of them after the end of a connection.
fn choose(shared: &Shared, now: Moment, items: &mut [Item]) -> Duration {
    let disconnected = shared.client.disconnected();
    let is_same_server = shared.disconnected.swap(disconnected, Ordering::AcqRel) == disconnected;
    let held = || items.iter().filter(|item| item.action == Action::RenewHeld);
    let hold = |item: &Item| Hold { locks: item.locks.len(), until: item.lasts_until.filter(|_| is_same_server) };
    let holds: Vec<Hold> = held().map(hold).collect();
    let lasting = Lasting::of(shared.ttl, now, &holds);
    let held = items.iter_mut().filter(|item| item.action == Action::RenewHeld);
    for (item, is_prolonged) in held.zip(lasting.is_prolonged) {
        if !is_prolonged {
            item.action = Action::LookAtHeld;
        }
    }
    items.sort_by_key(|item| item.action);
    lasting.length
}

fn note_prolonged(shared: &Shared, items: &[Item], until: Moment, renewal: &Renewal) {
    let uncovered: BTreeSet<u64> = renewal.uncovered.iter().map(|entry| entry.number).collect();
    for item in items.iter().filter(|item| item.action == Action::RenewHeld && !uncovered.contains(&item.number)) {
        shared.entries.ledger.get(item.number, |state| state.lasts_until = Some(until));
    }
}

/// Half of the time after which the engine would renew again, as there are two attempts; less only for what is
/// well within the time that any request has.
///
/// In a cluster no more than that: whoever does not answer must not keep those that do from being known to.
fn limit(shared: &Shared) -> Duration {
    let usual = shared.client.config.request_timeout();
    let most = if shared.client.is_by_slot() { 6 } else { 3 };
    usual.max(shared.ttl / 6).min(shared.ttl / most)
}

/// Notes what became of each entry. What the server cannot do for any of them is an error of the whole renewal.
fn unless_all_failed(shared: &Shared, items: &[Item], replies: Vec<Result<Renewed, Error>>) -> Result<Renewal, Error> {
    let is_renewed = |(item, reply): (&Item, &Result<Renewed, Error>)| item.action.is_renewal() && reply.is_ok();
    let none_renewed = !items.iter().zip(&replies).any(is_renewed);
    // First, so that an entry which becomes an orphan below is withdrawn by as many renewals as any other.
    shared.entries.ledger.renewed();
    let (mut must_poll, mut uncovered) = (false, Vec::new());
    for (item, reply) in items.iter().zip(replies) {
        match reply {
            Ok(renewed) => must_poll |= note(shared, item, renewed),
            Err(error) if none_renewed && error.kind() == ErrorKind::Unavailable => return Err(error),
            Err(error) if item.action.is_renewal() => uncovered.push(Uncovered::new(item.number, error)),
            // It is withdrawn again by the next renewal.
            Err(_) => {}
        }
    }
    if must_poll {
        shared.entries.wake();
    }
    Ok(Renewal::partial(uncovered))
}

/// Notes what became of an entry; returns whether it is to be polled now.
fn note(shared: &Shared, item: &Item, renewed: Renewed) -> bool {
    let ledger = &shared.entries.ledger;
    match (item.action, renewed) {
        (Action::Withdraw | Action::WithdrawOrphan | Action::Close, _) => ledger.left(item.number),
        // What the server does not show as held is not, whatever was believed.
        (Action::RenewHeld | Action::LookAtHeld, Renewed::Gone | Renewed::Queued)
        | (Action::RenewQueued, Renewed::Gone) => {
            shared.entries.note(item.number, Status::Gone);
        }
        // Its turn came, and the notification did not.
        (Action::RenewQueued | Action::RenewRequested, Renewed::Held) => {
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

/// Withdraws all entries that are, or may be, in the store, for the end of the session.
pub(super) async fn withdraw_all(shared: &Shared) -> Result<(), Error> {
    let close = |item: Item| match item.action {
        Action::Withdraw => item,
        _ => Item { action: Action::Close, ..item },
    };
    let items: Vec<Item> = all(shared).into_iter().map(close).collect();
    let replies = send(shared, "renew", &items, shared.ttl, shared.client.config.request_timeout()).await?;
    replies.into_iter().try_for_each(|reply| reply.map(drop))
}

/// Renews the one entry by a request that may grant, and returns what became of it.
pub(super) async fn confirm(shared: &Shared, entry: &Entry) -> Result<Renewed, Error> {
    let item = Item::new(shared, entry, Action::RenewQueued, None)?;
    let limit = shared.client.config.request_timeout();
    let mut replies = send(shared, "confirm", &[item], shared.ttl, limit).await?;
    replies.pop().unwrap_or_else(|| Err(Error::unavailable("the renewal was not answered")))
}

/// Everything of the session that is, or may be, in the store: what leaves and the orphans to be withdrawn, the rest to be
/// renewed.
fn all(shared: &Shared) -> Vec<Item> {
    let action = |status| match status {
        Status::Gone | Status::Lapsing => None,
        Status::Leaving => Some(Action::Withdraw),
        Status::Requested => Some(Action::RenewRequested),
        Status::Queued => Some(Action::RenewQueued),
        Status::Held(_) => Some(Action::RenewHeld),
    };
    let mut items = shared.entries.ledger.collect(|entry, state, is_leaving| {
        let action = if is_leaving { Some(Action::Withdraw) } else { action(state.status()) };
        Item::new(shared, entry, action?, state.lasts_until).ok()
    });
    let orphans = shared.entries.ledger.orphans();
    items.extend(orphans.iter().filter_map(|entry| Item::new(shared, entry, Action::WithdrawOrphan, None).ok()));
    items.sort_by_key(|item| item.action);
    items
}

/// The keys of held locks are to last for `length`.
async fn send(
    shared: &Shared,
    command: &'static str,
    items: &[Item],
    length: Duration,
    limit: Duration,
) -> Result<Vec<Result<Renewed, Error>>, Error> {
    let times = format!("{}/{}", milliseconds(shared.ttl), milliseconds(length));
    let each = |item: &Item| each::Items {
        locks: item.locks.clone(),
        argument: format!("{}{}", item.action.sign(), item.token),
    };
    let all: Vec<each::Items> = items.iter().map(each).collect();
    let replies = each::run_for_each(&shared.client, limit, command, &times, &all).await?;
    // The worst of the locks of an entry is what became of it.
    let of_entry = |replies: Vec<Result<Value, Error>>| {
        replies.into_iter().try_fold(Renewed::Held, |all, reply| Ok(all.max(reply::renewed(&reply?)?)))
    };
    Ok(replies.into_iter().map(of_entry).collect())
}

impl Action {
    fn is_renewal(self) -> bool {
        matches!(self, Self::RenewHeld | Self::LookAtHeld | Self::RenewQueued | Self::RenewRequested)
    }

    fn sign(self) -> char {
        match self {
            Self::RenewHeld => '*',
            Self::LookAtHeld => '=',
            Self::RenewQueued | Self::RenewRequested => '+',
            Self::Withdraw => '!',
            Self::WithdrawOrphan => '-',
            Self::Close => '.',
        }
    }
}

impl Item {
    fn new(shared: &Shared, entry: &Entry, action: Action, lasts_until: Option<Moment>) -> Result<Self, Error> {
        let (locks, token) = (shared.locks(entry)?, shared.token(entry));
        Ok(Self { number: entry.number, locks, token, action, lasts_until })
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
        session_with(Duration::from_secs(10))
    }

    fn session_with(ttl: Duration) -> Arc<Shared> {
        let client = Arc::new(Client::new(Config::local(), &World::here()).unwrap());
        let subscription = Arc::new(Subscription::new(&client));
        let now = client.world.now();
        Shared::new(client, subscription, ttl, now)
    }

    fn entry(number: u64) -> Arc<Entry> {
        Arc::new(Entry::new(Key::new("a").unwrap(), number, Holder::unknown().into()))
    }

    fn enter(shared: &Shared, numbers: &[u64]) {
        for number in numbers {
            shared.entries.ledger.sent(&entry(*number));
            shared.entries.ledger.resolved(*number);
        }
    }

    /// What the next renewal would send: a sign and the number of each entry.
    fn next(shared: &Shared) -> Vec<String> {
        all(shared).iter().map(|item| format!("{}{}", item.action.sign(), item.number)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_is_renewed_from_its_first_request_on_and_withdrawn_until_the_server_has_confirmed_it() {
        let shared = session();
        enter(&shared, &[1, 2]);
        assert_eq!(next(&shared), ["+1", "+2"]);
        shared.entries.note(1, Status::Held(7));
        shared.entries.ledger.leaving(1, |state| state.note(Status::Leaving)).unwrap();
        assert_eq!(next(&shared), ["!1", "+2"]);
        assert_eq!(next(&shared), ["!1", "+2"], "no renewal was acknowledged");
        for item in all(&shared) {
            // The request for the second one may not have arrived yet.
            note(&shared, &item, Renewed::Gone);
        }
        assert_eq!(next(&shared), ["+2"]);
        shared.entries.note(2, Status::Queued);
        let items = all(&shared);
        assert!(note(&shared, &items[0], Renewed::Held), "its turn came, and no notification");
        note(&shared, &items[0], Renewed::Gone);
        assert_eq!((shared.entries.status(2), next(&shared)), (Some(Status::Gone), vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_whose_request_is_unresolved_is_withdrawn_by_thirty_renewals_more() {
        let shared = session();
        let ledger = &shared.entries.ledger;
        ledger.sent(&entry(1));
        ledger.leaving(1, |state| state.note(Status::Leaving)).unwrap();
        ledger.left(1);
        for _ in 0..30 {
            assert_eq!(next(&shared), ["-1"]);
            ledger.renewed();
        }
        assert!(next(&shared).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_of_a_renewal_follows_the_ttl() {
        for (ttl, limit) in [(600, 100_000), (60, 10_000), (6, 1666), (3, 1000)] {
            let shared = session_with(Duration::from_secs(ttl));
            assert_eq!(super::limit(&shared).as_millis(), limit, "{ttl}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn holders_are_renewed_first_and_what_lapses_not_at_all() {
        let shared = session();
        enter(&shared, &[1, 2, 3, 4]);
        shared.entries.note(1, Status::Queued);
        shared.entries.note(3, Status::Held(7));
        shared.entries.note(4, Status::Held(7));
        shared.entries.note(4, Status::Lapsing);
        assert_eq!(next(&shared), ["*3", "+1", "+2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_server_does_not_show_as_held_is_lost() {
        for renewed in [Renewed::Gone, Renewed::Queued] {
            let shared = session();
            enter(&shared, &[1]);
            shared.entries.note(1, Status::Held(7));
            note(&shared, &all(&shared)[0], renewed);
            assert_eq!(shared.entries.status(1), Some(Status::Gone), "{renewed:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_for_one_entry_is_not_refused_for_another() {
        let shared = session();
        enter(&shared, &[1, 2]);
        let items = all(&shared);
        let refused = || Err(Error::new(ErrorKind::Unauthorized, "a right was revoked"));
        let renewal = unless_all_failed(&shared, &items, vec![Ok(Renewed::Held), refused()]).unwrap();
        let numbers: Vec<u64> = renewal.uncovered.iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, [2]);
        let full = || Err(Error::unavailable("out of memory"));
        assert!(unless_all_failed(&shared, &items, vec![full(), full()]).is_err());
        assert_eq!(unless_all_failed(&shared, &items, vec![full(), Ok(Renewed::Queued)]).unwrap().uncovered.len(), 1);
    }
}
