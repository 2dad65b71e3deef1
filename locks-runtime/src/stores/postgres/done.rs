//! What was done once: a row of its own, named as the lock's with a tab and `done` after it, and its record where a lock has that of
//! its holder. No lock's key has a control character.
//!
//! It has a time far off in place of that of a hold, so that it is never cleaned up. Where the role may not delete rows, one that is
//! forgotten stays, empty.

use super::client::Client;
use super::row::{column, number};
use super::shared::Shared;
use crate::contract::Entry;
use crate::values::error::{Error, ErrorKind};
use crate::values::key::Key;
use std::sync::Arc;
use tokio_postgres::types::Type;

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
