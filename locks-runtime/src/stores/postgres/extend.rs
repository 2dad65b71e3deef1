//! Holding a lock for a least time, even if this process ends.

use super::row::number;
use super::shared::Shared;
use crate::contract::Entry;
use crate::values::error::Error;
use std::time::Duration;
use tokio_postgres::types::Type;

pub(super) async fn extend(shared: &Shared, entry: &Entry, least: Duration) -> Result<(), Error> {
    shared.check()?;
    let client = &shared.client;
    let (name, micros) = (client.name(&entry.key)?, least.as_secs_f64() * 1e6);
    let values = [
        (&name as _, Type::TEXT),
        (&shared.id as _, Type::TEXT),
        (&number(entry) as _, Type::INT8),
        (&micros as _, Type::FLOAT8),
    ];
    let answer = client.ask(&client.work, &client.statements.extend, &values).await?;
    if answer.rows.is_empty() { Err(Error::lost("the entry no longer holds the lock")) } else { Ok(()) }
}
