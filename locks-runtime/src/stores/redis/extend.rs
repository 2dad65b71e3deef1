//! Making a lock stay taken for a least time, whatever happens to its holder.

use super::connect::milliseconds;
use super::entries::Status;
use super::error;
use super::shared::Shared;
use crate::contract::Entry;
use crate::values::error::Error;
use redis::Value;
use std::time::Duration;

pub(super) async fn extend(shared: &Shared, entry: &Entry, least: Duration) -> Result<(), Error> {
    run(shared, entry, "extend", least).await
}

/// From now on no renewal sends the entry.
pub(super) async fn lapse(shared: &Shared, entry: &Entry, rest: Duration) -> Result<(), Error> {
    let ledger = &shared.entries.ledger;
    ledger.get(entry.number, |state| state.note(Status::Lapsing));
    run(shared, entry, "lapse", rest).await?;
    ledger.left(entry.number);
    Ok(())
}

async fn run(shared: &Shared, entry: &Entry, command: &'static str, time: Duration) -> Result<(), Error> {
    let arguments = vec![milliseconds(time).to_string().into(), shared.token(entry).into()];
    match shared.run(command, shared.locks(entry)?, arguments).await.result? {
        Value::Int(1) => Ok(()),
        _ => Err(Error::lost(error::ENTRY_GONE)),
    }
}
