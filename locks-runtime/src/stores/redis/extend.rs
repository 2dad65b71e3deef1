//! Making a lock stay taken for a least time, whatever happens to its holder.

use super::client::milliseconds;
use super::error;
use super::shared::Shared;
use crate::contract::Entry;
use crate::values::error::Error;
use redis::Value;
use std::time::Duration;

pub(super) async fn extend(shared: &Shared, entry: &Entry, least: Duration) -> Result<(), Error> {
    let arguments = vec![milliseconds(least).to_string().into(), shared.token(entry).into()];
    match shared.run("extend", shared.lock(entry)?, arguments).await.result? {
        Value::Int(1) => Ok(()),
        _ => Err(Error::lost(error::ENTRY_GONE)),
    }
}
