//! Trying for a lock that others may hold too, without a place in its queue if it is not to be had.
//!
//! A transaction has no condition about how many keys there are. So the queue is looked at, and the entry is put into it if
//! nothing has been put there since: what leaves meanwhile is in nobody's way.

use super::error::Failure;
use super::put;
use super::queue::{self, QueueView};
use super::shared::Shared;
use crate::contract::Entry;
use std::sync::Arc;

/// How often others may be faster. Then the entry joins the queue, and leaves it if it does not hold.
const ATTEMPTS: u32 = 8;

/// What the last look showed: the entry itself if it holds the lock, others if those are in its way, and nothing if it has
/// to join the queue to find out.
pub(super) async fn try_to_join(
    shared: &Shared,
    entry: &Arc<Entry>,
    record: &[u8],
    lease: i64,
) -> Result<QueueView, Failure> {
    let (range, key) = (shared.range(entry), shared.key(entry));
    // At first nothing may be there.
    let mut revision = 0;
    for _ in 0..ATTEMPTS {
        let request = queue::join_if_unchanged(&range, entry.mode, revision, &key, record.to_vec(), lease);
        let view = put::alone(shared, entry, request).await?;
        if view.own.is_some() {
            // Whoever is ahead was there at the last look, and was not in the way.
            return Ok(view);
        }
        match view.ahead(&range, entry.mode, i64::MAX) {
            Some(ahead) if ahead.lets_hold() => revision = view.revision,
            Some(_) => return Ok(view),
            None => break,
        }
    }
    Ok(QueueView::default())
}
