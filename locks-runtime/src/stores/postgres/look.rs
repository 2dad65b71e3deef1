//! Looking at what the store has of one entry.

use super::row::{Shown, number};
use super::shared::Shared;
use crate::contract::Entry;
use crate::values::error::Error;
use tokio_postgres::types::Type;

/// What the store has of the entry, without a change to its rows.
pub(super) async fn look(shared: &Shared, entry: &Entry) -> Result<Shown, Error> {
    let client = &shared.client;
    let names = client.names(entry)?;
    let values = [(&names as _, Type::TEXT_ARRAY), (&shared.id as _, Type::TEXT), (&number(entry) as _, Type::INT8)];
    // By the connection that receives notifications: if it broke, this makes it anew.
    let answer = client.ask(&client.upkeep, |statements| &statements.look, &values).await?;
    Shown::read(&answer.rows, &shared.id, entry, &names, client.world.now())
}
