//! Releasing a lock by force.

use super::client::Client;
use crate::values::error::Error;
use crate::values::key::Key;
use tokio_postgres::types::Type;

/// Takes the lock away from its holders, or from the one with this fence, who are notified; returns how many that were.
pub(super) async fn force_release(client: &Client, key: &Key, fence: Option<u64>) -> Result<usize, Error> {
    let names = [client.name(key)?];
    // One that no fence can be is nobody's.
    let fences: Vec<i64> = fence.into_iter().map(|fence| i64::try_from(fence).unwrap_or(-1)).collect();
    let values = [(&names.as_slice() as _, Type::TEXT_ARRAY), (&fences as _, Type::INT8_ARRAY)];
    Ok(client.change_and_notify(|statements| &statements.force_release, &values, 1).await?.rows.len())
}
