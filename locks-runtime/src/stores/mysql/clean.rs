//! Deleting rows that nobody has used for long: a program with a key for each order would otherwise leave a row for each.

use super::client::{Client, Seen};
use super::parameters::{Parameters, padded};
use super::row::Micros;
use super::sql::{Kind, PAGE};
use crate::values::error::Error;
use crate::values::target::TARGET;
use std::time::Duration;

/// How long a row stays after its last use. A database's clock that is set back by less than this makes no fence smaller.
const UNUSED: Micros = 24 * 3_600 * 1_000_000;

/// The time between two looks at a part of the table, while there is little to delete.
const PAUSE: Duration = Duration::from_secs(600);

/// So many are deleted by one statement.
const MOST_DELETED: usize = 512;

/// Deletes old rows, if it is time to. Others may do the same at any time.
pub(super) async fn clean(client: &Client) {
    if !is_due(client) {
        return;
    }
    let now = client.world.now();
    client.clean_at.store(now + client.world.between(PAUSE / 2, PAUSE));
    match delete(client).await {
        // Where there is much, the next renewal goes on.
        Ok(deleted) if deleted >= MOST_DELETED => client.clean_at.store(now),
        Ok(_) => {}
        // A user who may not delete leaves them.
        Err(error) => tracing::debug!(target: TARGET, error = %error.chain(), "old rows could not be deleted"),
    }
}

/// Whether it is time to.
pub(super) fn is_due(client: &Client) -> bool {
    client.world.now() >= client.clean_at.load()
}

/// Those of one page of the table, the next one each time.
async fn delete(client: &Client) -> Result<usize, Error> {
    let after = client.cleaned_to.lock().take().unwrap_or_default();
    let values = Parameters::default().one(after).one(vec![0xff_u8]);
    let answer = client.ask(&client.upkeep, (Kind::Page, 1), &values.0).await?;
    let seen = Seen::read(&answer.reply)?;
    let until = seen.now - UNUSED;
    let old: Vec<String> = seen
        .rows
        .iter()
        .filter(|row| row.locked_until < until && row.queue.is_empty())
        .map(|row| row.name.clone())
        .collect();
    for names in old.chunks(MOST_DELETED) {
        let rows = padded(names.len());
        let values = Parameters::default().list(names, rows).one(until);
        client.ask(&client.upkeep, (Kind::Delete, rows), &values.0).await?;
    }
    if seen.rows.len() == PAGE {
        *client.cleaned_to.lock() = seen.rows.into_iter().next_back().map(|row| row.name);
    }
    Ok(old.len())
}
