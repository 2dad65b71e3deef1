//! An entry of several locks: its keys one by one, and all of them at one moment.

use super::error::Failure;
use super::shared::Shared;
use crate::contract::Entry;
use etcd_client::{Compare, CompareOp, GetOptions, Txn, TxnOp};
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
///
/// The transaction reads what nobody looks at. Of one that only compares, etcd says that all it reads may be old, and each
/// member answers by itself, as far as it has come.
pub(super) async fn are_there(shared: &Shared, entry: &Entry, created: i64) -> Result<bool, Failure> {
    let keys = shared.keys(entry);
    let current = keys.first().map(|key| TxnOp::get(key.as_str(), Some(GetOptions::new().with_count_only())));
    let is_there = |key: String| Compare::create_revision(key, CompareOp::Equal, created);
    let all: Vec<Compare> = keys.into_iter().map(is_there).collect();
    let asking = Txn::new().when(all).and_then(current.into_iter().collect::<Vec<_>>());
    Ok(shared.transaction(entry, &asking).await?.succeeded())
}
