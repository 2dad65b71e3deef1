//! Releasing a lock by force.

use super::change::{Missing, change};
use super::client::Client;
use super::error::RELEASED_BY_FORCE;
use super::row::Row;
use crate::values::error::Error;
use crate::values::key::Key;

/// Takes the lock away from its holders, or from the one with this fence; returns how many that were.
pub(super) async fn force_release(client: &Client, key: &Key, fence: Option<u64>) -> Result<usize, Error> {
    // One that no fence can be is nobody's.
    let fence = fence.map(|fence| i64::try_from(fence).unwrap_or(-1));
    let decide = |rows: &mut [Row], now| rows.iter_mut().map(|row| row.force_release(fence, now)).sum();
    let changed = change(client, &client.work, &[client.name(key)?], Missing::Skip, decide).await?;
    changed.show(client, RELEASED_BY_FORCE);
    Ok(changed.outcome)
}
