//! Orphaned entries: keys on the session's lease that no entry of this process owns.

use super::lease;
use super::names;
use super::queue;
use super::shared::Shared;
use crate::values::target::TARGET;
use etcd_client::{Compare, CompareOp};

/// Deletes the keys of this session that belong to no entry: a request that was never answered was carried out after all.
pub(super) async fn withdraw(shared: &Shared) {
    let Ok(keys) = lease::keys(&shared.client, shared.lease).await else { return };
    for key in keys {
        let Some(number) = names::entry_number(&key, shared.lease) else { continue };
        if shared.entries.contains(number) {
            continue;
        }
        let key = String::from_utf8_lossy(&key).into_owned();
        tracing::warn!(target: TARGET, key, "withdrawing an orphaned entry: the request that created it was never answered");
        let ours = Compare::lease(key.clone(), CompareOp::Equal, shared.lease);
        if shared.client.transaction(&queue::delete(ours, &key)).await.is_err() {
            shared.entries.orphaned_again();
        }
    }
}
