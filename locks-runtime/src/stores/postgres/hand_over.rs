//! Handing a hold over: the row gets a session of the ticket's, which nobody renews, and then that of whoever adopts it.

use super::clauses::{MICROS, locked, notice_to_wait};
use super::client::Client;
use super::entries::Status;
use super::error::ENTRY_GONE;
use super::row::{column, fence, number};
use super::shared::Shared;
use super::table::Table;
use crate::contract::{Detached, Detaching, Entry, Grant};
use crate::values::error::Error;
use std::sync::Arc;
use tokio_postgres::types::Type;

/// The statements for one table; empty where there are none. A ticket's session is its secret, and its number 0.
#[derive(Debug, Default)]
pub(super) struct HandOverStatements {
    /// names, session, number, the ticket's session, TTL in µs, record, channel or NULL, lock_timeout → a row if the ticket holds the
    /// lock, by this statement or an earlier one.
    detach: String,
    /// names, the ticket's session, session, number, record, TTL in µs, lock_timeout → the fence if the entry holds the lock, by this
    /// statement or an earlier one.
    adopt: String,
}

impl HandOverStatements {
    pub(super) fn of(table: &Table) -> Self {
        let table = &table.quoted;
        Self {
            detach: format!(
                "WITH mine AS MATERIALIZED ({}), \
                 detached AS (UPDATE {table} AS l SET session = $4, number = 0, holder = $6, keep_until = NULL, \
                     locked_until = CASE WHEN l.session = $4 THEN l.locked_until \
                                         ELSE clock_timestamp() + $5 * interval '1 microsecond' END \
                     FROM mine WHERE l.name = mine.name AND taken \
                         AND (mine.session = $2 AND mine.number = $3 OR mine.session = $4) \
                     RETURNING l.name, l.session, l.queue, l.locked_until) \
                 SELECT name, (SELECT pg_notify($7, payload) FROM ({}) AS notice WHERE $7 IS NOT NULL) AS notice FROM detached",
                locked(table, "$8"),
                notice_to_wait("true"),
            ),
            adopt: format!(
                "WITH mine AS MATERIALIZED ({}) \
                 UPDATE {table} AS l SET (fence, session, number, holder, locked_until) = (SELECT \
                         CASE WHEN l.session = $2 THEN greatest(l.fence + 1, {MICROS}) ELSE l.fence END, $3, $4, $5, \
                         CASE WHEN l.session = $2 THEN now + $6 * interval '1 microsecond' ELSE l.locked_until END \
                     FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock) \
                 FROM mine WHERE l.name = mine.name AND taken AND (mine.session = $2 OR mine.session = $3 AND mine.number = $4) \
                 RETURNING l.fence",
                locked(table, "$7"),
            ),
        }
    }
}

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
    let sent = client.change(|statements| &statements.hand_over.adopt, &values).await;
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
