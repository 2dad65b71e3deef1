//! What was done once: a row of its own, named as the lock's with a tab and `done` after it, and its record where a lock has that of
//! its holder. No lock's key has a control character.
//!
//! It has a time far off in place of that of a hold, so that it is never cleaned up. Where the role may not delete rows, one that is
//! forgotten stays, empty.

use super::clauses::locked;
use super::client::Client;
use super::row::{column, number};
use super::shared::Shared;
use super::table::Table;
use crate::contract::Entry;
use crate::values::error::{Error, ErrorKind};
use crate::values::key::Key;
use std::sync::Arc;
use tokio_postgres::types::Type;

/// The statements for one table; empty where there are none.
#[derive(Debug, Default)]
pub(super) struct Statements {
    /// names, session, number, name of the record's row, record, lock_timeout → a row if the entry holds the lock.
    mark: String,
    /// name of the record's row → the record.
    read: String,
    /// name of the record's row, lock_timeout → a row if there was a record.
    delete: String,
    /// The same, for a role that may not delete.
    empty: String,
}

impl Statements {
    pub(super) fn of(table: &Table) -> Self {
        let table = &table.quoted;
        let until = "timestamptz '9999-12-31 00:00:00+00'";
        Self {
            mark: format!(
                "WITH mine AS MATERIALIZED ({}) \
                 INSERT INTO {table} AS l (name, fence, holder, locked_until) \
                     SELECT $4, fence, $5, {until} FROM mine WHERE taken AND session = $2 AND number = $3 \
                 ON CONFLICT (name) DO UPDATE SET fence = EXCLUDED.fence, holder = EXCLUDED.holder, locked_until = {until} \
                 RETURNING l.name",
                locked(table, "$6")
            ),
            read: format!("SELECT holder FROM {table} WHERE name = $1 AND holder IS NOT NULL"),
            delete: format!(
                "DELETE FROM {table} WHERE name = $1 AND holder IS NOT NULL \
                 AND (SELECT set_config('lock_timeout', $2, true)) IS NOT NULL RETURNING name"
            ),
            empty: format!(
                "UPDATE {table} SET holder = NULL, locked_until = clock_timestamp() WHERE name = $1 AND holder IS NOT NULL \
                 AND (SELECT set_config('lock_timeout', $2, true)) IS NOT NULL RETURNING name"
            ),
        }
    }
}

pub(super) async fn mark(shared: &Shared, entry: &Entry, record: Arc<str>) -> Result<(), Error> {
    shared.check()?;
    let client = &shared.client;
    let (names, row, record) = (client.names(entry)?, name(client, &entry.key)?, &*record);
    let values = [
        (&names as _, Type::TEXT_ARRAY),
        (&shared.id as _, Type::TEXT),
        (&number(entry) as _, Type::INT8),
        (&row as _, Type::TEXT),
        (&record as _, Type::TEXT),
    ];
    let answer = client.change(|statements| &statements.done.mark, &values).await?;
    if answer.rows.is_empty() { Err(Error::lost("the entry no longer holds the lock")) } else { Ok(()) }
}

pub(super) async fn read(client: &Client, key: &Key) -> Result<Option<String>, Error> {
    let row = name(client, key)?;
    let answer = client.ask(&client.work, |statements| &statements.done.read, &[(&row as _, Type::TEXT)]).await?;
    let Some(found) = answer.rows.first() else { return Ok(None) };
    let record: &str = column(found, "holder")?;
    Ok(Some(record.to_owned()))
}

pub(super) async fn forget(client: &Client, key: &Key) -> Result<bool, Error> {
    let row = name(client, key)?;
    let values = [(&row as _, Type::TEXT)];
    let answer = match client.in_use(&client.work).await?.may_delete {
        true => client.change(|statements| &statements.done.delete, &values).await?,
        false => client.change(|statements| &statements.done.empty, &values).await?,
    };
    Ok(!answer.rows.is_empty())
}

fn name(client: &Client, key: &Key) -> Result<String, Error> {
    if !client.config().layout.has_queue() {
        let what = "ShedLock's table cannot remember what was done once; use a table of this crate's own";
        return Err(Error::new(ErrorKind::Unsupported, what).with_key(key));
    }
    Ok(format!("{}\tdone", client.name(key)?))
}
