//! Deleting rows that nobody has used for long: a program with a key for each order would otherwise leave a row for each.

use super::client::Client;
use super::row::column;
use super::sql::MOST_DELETED;
use crate::values::error::Error;
use crate::values::target::TARGET;
use std::time::Duration;
use tokio_postgres::types::Type;

/// How long a row stays after its last use. A database's clock that is set back by less than this makes no fence smaller.
const UNUSED: Duration = Duration::from_secs(24 * 3600);

/// The time between two looks at a part of the table, while there is little to delete.
const PAUSE: Duration = Duration::from_secs(600);

/// Deletes old rows, if it is time to and this role may. Others may do the same at any time.
pub(super) async fn clean(client: &Client) {
    if !is_due(client) {
        return;
    }
    let now = client.world.now();
    client.clean_at.store(now + client.world.between(PAUSE / 2, PAUSE));
    match delete(client).await {
        // Where there is much, the next renewal goes on.
        Ok(deleted) if deleted >= MOST_DELETED / 2 => client.clean_at.store(now),
        Ok(_) => {}
        Err(error) => tracing::debug!(target: TARGET, error = %error.chain(), "old rows could not be deleted"),
    }
}

/// Whether it is time to.
pub(super) fn is_due(client: &Client) -> bool {
    client.world.now() >= client.clean_at.load()
}

async fn delete(client: &Client) -> Result<usize, Error> {
    let in_use = client.in_use(&client.upkeep).await?;
    if !in_use.may_delete || in_use.statements.clean.is_empty() {
        return Ok(0);
    }
    let unused = UNUSED.as_secs_f64() * 1e6;
    let answer = client.ask(&client.upkeep, |statements| &statements.clean, &[(&unused as _, Type::FLOAT8)]).await?;
    let deleted: i64 = answer.rows.first().map_or(Ok(0), |row| column(row, "deleted"))?;
    Ok(usize::try_from(deleted).unwrap_or(0))
}
