//! Who holds and who waits for which locks.

use super::client::Client;
use super::row::{column, fence};
use crate::contract::{Line, Listed, Scope};
use crate::values::error::Error;
use crate::values::key::Key;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// The locks in `scope` that have a holder or waiters.
pub(super) async fn inspect(client: &Client, scope: &Scope) -> Result<Vec<Line>, Error> {
    match scope {
        Scope::Key(key) => {
            let name = client.name(key)?;
            let values = [(&name as _, Type::TEXT)];
            let answer = client.ask(&client.work, |statements| &statements.inspect_key, &values).await?;
            let lines: Result<Vec<_>, _> = answer.rows.iter().map(|row| read(client, row)).collect();
            Ok(lines?.into_iter().flatten().collect())
        }
        Scope::Prefix(prefix) => look_at_all(client, &format!("{}{prefix}", client.config().namespace)).await,
    }
}

/// Page after page, for a table may have millions of rows.
async fn look_at_all(client: &Client, prefix: &str) -> Result<Vec<Line>, Error> {
    let (mut lines, mut from) = (Vec::new(), prefix.to_owned());
    loop {
        let values = [(&prefix as _, Type::TEXT), (&from as _, Type::TEXT)];
        let answer = client.ask(&client.work, |statements| &statements.inspect_prefix, &values).await?;
        let is_first = from == prefix;
        let mut last = None;
        for row in &answer.rows {
            let name: &str = column(row, "name")?;
            // The next page begins with the last name of the one before.
            if name.starts_with(prefix) && (is_first || name != from) {
                lines.extend(read(client, row)?);
            }
            last = Some((name, column(row, "more")?));
        }
        match last {
            Some((name, true)) if name.starts_with(prefix) && name != from => name.clone_into(&mut from),
            _ => return Ok(lines),
        }
    }
}

/// `None` if the row is not a lock's, or nobody holds it or waits for it.
fn read(client: &Client, row: &Row) -> Result<Option<Line>, Error> {
    let config = client.config();
    let name: &str = column(row, "name")?;
    // A row that somebody else inserted may have a name that is no key.
    let key = name.strip_prefix(config.namespace.as_str()).and_then(|name| Key::new(name).ok());
    let (holders, waiters) = (listed(client, row, "holders", "ends")?, listed(client, row, "waiting", "waiting_ends")?);
    let Some(key) = key.filter(|_| !holders.is_empty() || !waiters.is_empty()) else { return Ok(None) };
    let fences: Vec<i64> = column(row, "fences")?;
    let now: i64 = column(row, "now")?;
    let holders = holders.into_iter().zip(fences).map(|(listed, number)| {
        // A fence is the moment of the grant, unless one that was larger already had to grow.
        let since_ms = u64::try_from(number / 1_000).ok().filter(|_| number / 1_000 <= now);
        Listed { since_ms, ..listed.with_fence(fence(number)) }
    });
    Ok(Some(Line::new(key, holders.collect(), waiters)))
}

/// The entries of whom `records` has the records, and `ends` until when each lasts.
fn listed(client: &Client, row: &Row, records: &str, ends: &str) -> Result<Vec<Listed>, Error> {
    let (records, ends): (Vec<Option<&str>>, Vec<Option<i64>>) = (column(row, records)?, column(row, ends)?);
    let listed = records.into_iter().zip(ends).map(|(record, end)| {
        let until_ms = end.and_then(|end| u64::try_from(end).ok());
        Listed { until_ms, ..client.config().layout.holder(record).into() }
    });
    Ok(listed.collect())
}
