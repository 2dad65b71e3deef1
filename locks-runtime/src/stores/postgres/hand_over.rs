//! Handing a hold over: the row gets a session of the ticket's, which nobody renews, and then that of whoever adopts it.

use super::client::Client;
use super::entries::Status;
use super::error::ENTRY_GONE;
use super::row::{column, fence, number};
use super::shared::Shared;
use crate::contract::{Detached, Detaching, Entry, Grant};
use crate::values::error::Error;
use std::sync::Arc;
use tokio_postgres::types::Type;

/// The same for all clients that see the same locks, as far as that can be known without a request.
fn site(client: &Client) -> String {
    let config = client.config();
    format!("postgres:{}:{}:{}", config.database, config.table, config.namespace)
}

/// From before the request on it is not renewed any more: a renewal must not make it longer again.
pub(super) async fn detach(shared: &Shared, entry: &Entry, detaching: &Detaching) -> Result<Detached, Error> {
    let client = &shared.client;
    let over = Status::Lapsing { until: client.world.now() + detaching.ttl.max(shared.ttl) };
    shared.entries.get(entry.number, |state| state.advance(over));
    let (names, micros) = (client.names(entry)?, detaching.ttl.as_secs_f64() * 1e6);
    let (ticket, record) = (&**detaching.secret.reveal(), client.config().layout.record(&detaching.holder));
    let values = [
        (&names as _, Type::TEXT_ARRAY),
        (&shared.id as _, Type::TEXT),
        (&number(entry) as _, Type::INT8),
        (&ticket as _, Type::TEXT),
        (&micros as _, Type::FLOAT8),
        (&record as _, Type::TEXT),
    ];
    let answer = client.change_and_notify(|statements| &statements.hand_over.detach, &values, 6).await?;
    if answer.rows.is_empty() {
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
    let (names, ticket) = (client.names(entry)?, &**detached.secret.reveal());
    // No session has another form, not the one of those that hold beside each other either.
    if ticket.len() != 32 || !ticket.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let record = client.config().layout.record(&entry.holder);
    let values = [
        (&names as _, Type::TEXT_ARRAY),
        (&ticket as _, Type::TEXT),
        (&shared.id as _, Type::TEXT),
        (&number(entry) as _, Type::INT8),
        (&record as _, Type::TEXT),
        (&shared.ttl_micros() as _, Type::FLOAT8),
    ];
    entries.sent(entry);
    let sent = client.change_and_notify(|statements| &statements.hand_over.adopt, &values, 6).await;
    let is_unresolved = match &sent {
        Ok(answer) => answer.is_unresolved,
        Err(failure) => failure.is_unresolved,
    };
    if !is_unresolved {
        entries.resolved(entry.number);
    }
    if sent.is_err() {
        entries.forget_if(entry.number, |state| state.status() == Status::Sent);
    }
    let answer = sent?;
    let Some(row) = answer.rows.first() else {
        entries.left(entry.number);
        return Ok(None);
    };
    let fence = fence(column(row, "fence")?);
    entries.get(entry.number, |state| state.advance(Status::Held(fence)));
    Ok(Some(Grant::new(fence)))
}
