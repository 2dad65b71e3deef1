//! Releasing a lock by force.

use super::client::Client;
use crate::values::error::Error;
use crate::values::key::Key;
use tokio_postgres::types::Type;

/// Takes the lock away from its holder, who is notified; returns how many held it.
pub(super) async fn force_release(client: &Client, key: &Key) -> Result<usize, Error> {
    let name = client.name(key)?;
    let values = [(&name as _, Type::TEXT)];
    Ok(client.change_and_notify(|statements| &statements.force_release, &values, 1).await?.rows.len())
}
