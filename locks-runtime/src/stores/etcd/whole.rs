//! An entry of several locks: its keys one by one, and all of them at one moment.

use super::error::Failure;
use super::shared::Shared;
use crate::contract::Entry;
use etcd_client::{Compare, CompareOp, Txn};
use std::sync::Arc;

/// The same entry, of one of its locks each: what is known of it is known by its number.
pub(super) fn singles(entry: &Entry) -> Vec<Arc<Entry>> {
    let single = |key: &_| {
        let Entry { number, mode, .. } = *entry;
        Arc::new(Entry { mode, ..Entry::new(Clone::clone(key), number, Arc::clone(&entry.holder)) })
    };
    entry.keys().map(single).collect()
}

/// Whether all keys of the entry are in the store since `created`.
pub(super) async fn are_there(shared: &Shared, entry: &Entry, created: i64) -> Result<bool, Failure> {
    let is_there = |key: String| Compare::create_revision(key, CompareOp::Equal, created);
    let all: Vec<Compare> = shared.keys(entry).into_iter().map(is_there).collect();
    Ok(shared.transaction(entry, &Txn::new().when(all)).await?.succeeded())
}
