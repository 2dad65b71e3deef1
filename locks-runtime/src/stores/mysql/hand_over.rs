//! Handing a hold over: the row gets a session of the ticket's, which nobody renews, and then that of whoever adopts it.

use super::change::{Missing, change};
use super::client::Client;
use super::enter::record;
use super::entries::Status;
use super::error::{ENTRY_GONE, Failure};
use super::renew::renew_one;
use super::row::{Element, Micros, Row, fence, number};
use super::shared::{Shared, micros};
use crate::contract::{Detached, Detaching, Entry, Grant};
use crate::values::error::Error;
use std::sync::Arc;

/// The same for all clients that see the same locks, as far as that can be known without a request.
fn site(client: &Client) -> String {
    let config = client.config();
    format!("mysql:{}:{}:{}", config.database, config.table, config.namespace)
}

/// From before the request on it is not renewed any more: a renewal must not make it longer again.
pub(super) async fn detach(shared: &Shared, entry: &Entry, detaching: &Detaching) -> Result<Detached, Error> {
    let client = &shared.client;
    let over = Status::Lapsing { until: client.world.now() + detaching.ttl.max(shared.ttl) };
    shared.entries.get(entry.number, |state| state.advance(over));
    let (ticket, record, ttl) = (detaching.secret.reveal(), record(&detaching.holder), micros(detaching.ttl));
    let number = number(entry);
    let decide = |rows: &mut [Row], now: Micros| {
        let Some(row) = rows.first_mut() else { return false };
        if row.is_taken(now) && row.is_of(ticket, 0) {
            return true;
        }
        let is_held = row.is_taken(now) && row.is_of(&shared.id, number);
        if is_held {
            row.hand_over(alone(ticket, 0, &record, now.saturating_add(ttl)), false, now);
        }
        is_held
    };
    let changed = change(client, &client.work, &[client.name(&entry.key)?], Missing::Skip, decide).await?;
    if !changed.outcome {
        return Err(Error::lost(ENTRY_GONE));
    }
    shared.entries.left(entry.number);
    Ok(Detached::new(detaching.secret.clone(), site(client)))
}

/// The entry is known before the request is sent, so that every renewal from then on covers it.
pub(super) async fn adopt(shared: &Shared, entry: &Arc<Entry>, detached: &Detached) -> Result<Option<Grant>, Error> {
    shared.check()?;
    let (client, entries) = (&shared.client, &shared.entries);
    detached.check_site(&site(client))?;
    let ticket: &str = detached.secret.reveal();
    // No session has another form, not the one of those that hold beside each other either.
    if ticket.len() != 32 || !ticket.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let (name, renewals) = (client.name(&entry.key)?, shared.renewals());
    entries.sent(entry);
    let sent = take_over(shared, entry, &name, ticket).await;
    let is_unresolved = match &sent {
        Ok((_, is_unresolved)) => *is_unresolved,
        Err(failure) => failure.is_unresolved,
    };
    if !is_unresolved {
        entries.resolved(entry.number);
    }
    if sent.is_err() {
        entries.forget_if(entry.number, |state| state.status() == Status::Sent);
    }
    let (Some(held), _) = sent? else {
        entries.left(entry.number);
        return Ok(None);
    };
    let fence = fence(held);
    entries.get(entry.number, |state| state.advance(Status::Held(fence)));
    if shared.renewals() != renewals {
        renew_one(shared, entry).await?;
    }
    Ok(Some(Grant::new(fence)))
}

/// The fence, if the ticket held the lock; and whether an earlier attempt is unresolved.
async fn take_over(shared: &Shared, entry: &Entry, name: &str, ticket: &str) -> Result<(Option<i64>, bool), Failure> {
    let (client, number, record) = (&shared.client, number(entry), record(&entry.holder));
    let decide = |rows: &mut [Row], now: Micros| {
        let row = rows.first_mut().filter(|row| row.is_taken(now))?;
        if row.is_of(&shared.id, number) {
            return Some(row.fence);
        }
        let until = now.saturating_add(shared.ttl_micros());
        row.is_of(ticket, 0).then(|| row.hand_over(alone(&shared.id, number, &record, until), true, now))
    };
    let changed = change(client, &client.work, &[name.to_owned()], Missing::Skip, decide).await?;
    Ok((changed.outcome, changed.is_unresolved))
}

fn alone(session: &str, number: i64, record: &str, until: Micros) -> Element {
    let (session, holder) = (session.to_owned(), record.to_owned());
    Element { session, number, holder, until, beside: None, fence: None, keep_until: None }
}
