//! Holding a lock for a least time, even if this process ends, and letting a hold end by itself.

use super::entries::Status;
use super::row::number;
use super::shared::Shared;
use crate::contract::Entry;
use crate::values::error::Error;
use std::time::Duration;
use tokio_postgres::types::Type;

pub(super) async fn extend(shared: &Shared, entry: &Entry, least: Duration) -> Result<(), Error> {
    shared.check()?;
    let client = &shared.client;
    let (names, micros) = (client.names(entry)?, micros(least));
    let values = [
        (&names as _, Type::TEXT_ARRAY),
        (&shared.id as _, Type::TEXT),
        (&number(entry) as _, Type::INT8),
        (&micros as _, Type::FLOAT8),
    ];
    let answer = client.change(|statements| &statements.extend, &values).await?;
    if answer.rows.is_empty() { Err(not_held()) } else { Ok(()) }
}

/// From before the request on it is not renewed any more: a renewal must not make it longer again.
pub(super) async fn lapse(shared: &Shared, entry: &Entry, rest: Duration) -> Result<(), Error> {
    shared.check()?;
    let client = &shared.client;
    let over = Status::Lapsing { until: client.world.now() + rest };
    shared.entries.get(entry.number, |state| state.advance(over)).ok_or_else(not_held)?;
    let (names, micros) = (client.names(entry)?, micros(rest));
    let values = [
        (&names as _, Type::TEXT_ARRAY),
        (&shared.id as _, Type::TEXT),
        (&number(entry) as _, Type::INT8),
        (&micros as _, Type::FLOAT8),
    ];
    let answer = client.change_and_notify(|statements| &statements.lapse, &values, 4).await?;
    if answer.rows.is_empty() { Err(not_held()) } else { Ok(()) }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn not_held() -> Error {
    Error::lost("the entry no longer holds the lock")
}
