//! Looking at what the store has of one entry.

use super::entries::Status;
use super::row::{View, number};
use super::shared::Shared;
use crate::contract::Entry;
use crate::values::error::Error;
use tokio_postgres::types::Type;

/// The entry's status, without a change to the row; `None` if it is not there.
pub(super) async fn look(shared: &Shared, entry: &Entry) -> Result<Option<Status>, Error> {
    let client = &shared.client;
    let name = client.name(&entry.key)?;
    let values = [(&name as _, Type::TEXT), (&shared.id as _, Type::TEXT), (&number(entry) as _, Type::INT8)];
    // By the connection that receives notifications: if it broke, this makes it anew.
    let answer = client.ask(&client.upkeep, |statements| &statements.look, &values).await?;
    match answer.rows.first() {
        None => Ok(None),
        Some(row) => Ok(View::read(row, &shared.id, entry)?.status(client.world.now())),
    }
}
