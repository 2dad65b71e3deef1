//! Comparing the keys of the session's lease with the entries of this process: what it does not know is withdrawn, and
//! what it believes in is looked for.

use super::entries::EntryState;
use super::lapse;
use super::lease;
use super::names;
use super::queue;
use super::shared::Shared;
use super::whole;
use crate::contract::Entry;
use crate::values::target::TARGET;
use etcd_client::{Compare, CompareOp, GetOptions};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) async fn audit(shared: &Shared) {
    withdraw_refused(shared).await;
    // Before the question: the answer must have all of these.
    let expected = shared.entries.collect(|entry, state, leaving| {
        let created = state.created.filter(|_| !leaving && is_tied_to_session(state))?;
        Some((Arc::clone(entry), created))
    });
    let Ok(keys) = lease::keys(&shared.client, shared.lease()).await else { return };
    withdraw_unknown(shared, &keys).await;
    let found: BTreeSet<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    for (entry, created) in expected {
        for (key, single) in shared.keys(&entry).into_iter().zip(whole::singles(&entry)) {
            if !found.contains(key.as_bytes()) {
                look_for(shared, &single, created).await;
            }
        }
    }
}

fn is_tied_to_session(state: &EntryState) -> bool {
    state.extension.as_ref().is_none_or(|extension| extension.is_certain && extension.own.is_empty())
}

/// Deletes the keys that belong to no entry: a request that was never answered was carried out after all, or a snapshot
/// with them was restored.
async fn withdraw_unknown(shared: &Shared, keys: &[Vec<u8>]) {
    // After the answer: whatever is in it was noted before it was sent.
    let adopted: BTreeSet<Arc<str>> = shared.entries.collect(|_, state, _| state.adopted.clone()).into_iter().collect();
    for key in keys {
        let is_known = match names::entry_number(key, shared.name) {
            Some(number) => shared.entries.contains(number),
            // Of another session, if it is an entry: it was adopted by a request that was never answered.
            None => !key.rsplit(|&byte| byte == b'/').next().is_some_and(names::is_entry),
        };
        if is_known || adopted.iter().any(|name| name.as_bytes() == key) {
            continue;
        }
        let key = String::from_utf8_lossy(key).into_owned();
        tracing::warn!(
            target: TARGET,
            key,
            "withdrawing an entry that nobody owns: the request that created it was never answered, or a snapshot was restored"
        );
        let ours = |key: &str| Compare::lease(key, CompareOp::Equal, shared.lease());
        if shared.client.transaction(&queue::delete(&[key], ours).transaction()).await.is_err() {
            shared.entries.orphaned_again();
        }
    }
}

/// Takes out the entries that etcd has refused to let go, if it does by now.
async fn withdraw_refused(shared: &Shared) {
    let refused =
        shared.entries.collect(|entry, state, leaving| (leaving && state.is_refused).then(|| Arc::clone(entry)));
    for entry in refused {
        // A refusal is noted there again.
        let _ = lapse::leave(shared, &entry).await;
    }
}

/// Reads the key of an entry that the lease's keys did not show, which an old leader may have answered.
async fn look_for(shared: &Shared, entry: &Entry, created: i64) {
    let Ok(answer) = shared.client.get(shared.key(entry), &GetOptions::new().with_keys_only()).await else { return };
    let is_there = answer.kvs().iter().any(|kv| kv.create_revision() == created);
    shared.entries.unless_leaving(entry.number, |state| {
        state.is_gone |= !is_there && state.created == Some(created);
    });
}
