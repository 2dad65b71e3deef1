//! Handing a hold over: its key stays where it is in the queue, tied to a lease of the ticket's, which nobody renews, and then to
//! that of whoever adopts it.
//!
//! The key keeps its create revision, by which others find their place, and by which all that its first owner sends is conditional.
//! So from the first of these requests on, an entry [leaves](super::lapse) only while the key has its own record as its value.

use super::client::Client;
use super::entries::EntryState;
use super::error::{ENTRY_DELETED, Verdict};
use super::lease;
use super::names;
use super::queue::{self, QueueKey};
use super::relocate;
use super::shared::Shared;
use crate::contract::{Detached, Detaching, Entry, Grant};
use crate::values::error::Error;
use crate::values::secret::Secret;
use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How often a request is repeated because an earlier one of ours turns out to have been carried out.
const ROUNDS: usize = 4;

/// The cluster and the namespace.
fn site(client: &Client) -> String {
    let cluster = client.identity.cluster().unwrap_or_default();
    format!("etcd:{cluster:x}:{}", client.config.namespace)
}

/// The ticket's lease: whoever knows the secret knows it.
fn lease_of(secret: &Secret<Arc<str>>) -> Option<i64> {
    let half = u64::from_str_radix(secret.reveal().get(..16)?, 16).ok()?;
    i64::try_from(half >> 1).ok().filter(|id| *id > 0)
}

/// Where the key is: its name in the queue, and the revisions at which it was created, and handed over.
struct Place<'a> {
    name: &'a str,
    created: i64,
    modified: i64,
}

impl<'a> Place<'a> {
    fn read(place: &'a str) -> Option<Self> {
        let mut parts = place.split(' ');
        let (name, created, modified) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let is_one = parts.next().is_none() && names::is_entry(name.as_bytes());
        is_one.then_some(Self { name, created, modified })
    }

    fn write(&self) -> String {
        format!("{} {} {}", self.name, self.created, self.modified)
    }
}

pub(super) async fn detach(shared: &Shared, entry: &Entry, detaching: &Detaching) -> Result<Detached, Error> {
    let gone = || Error::lost(ENTRY_DELETED);
    let (created, lease) = shared.created(entry).zip(lease_of(&detaching.secret)).ok_or_else(gone)?;
    let key = shared.key(entry);
    match lease::grant_as(&shared.client, lease, detaching.ttl).await {
        // The first of several attempts granted it, and it has expired: the key has gone with it, or is where it was.
        Err(failure) if failure.verdict == Verdict::LeaseGone => {}
        granted => drop(granted?),
    }
    let mut modified = None;
    for _ in 0..ROUNDS {
        let begin = |state: &mut EntryState| {
            state.is_detaching = true;
            state.modified()
        };
        let since = modified.or(shared.entries.unless_leaving(entry.number, begin).flatten()).ok_or_else(gone)?;
        let unchanged = Compare::mod_revision(key.as_str(), CompareOp::Equal, since);
        let handing = replace(&key, &[unchanged], detaching.holder.to_json(), lease);
        let handed = shared.transaction(entry, &handing).await?;
        let handed_at = match queue::key_read(&handed, 1, created) {
            _ if handed.succeeded() => queue::revision(handed.header()),
            Some(read) if read.lease == lease => read.modified,
            // A request from before that was carried out meanwhile.
            Some(QueueKey { value, modified: again, .. }) if value == names::content(entry) => {
                modified = Some(again);
                continue;
            }
            _ => return Err(gone()),
        };
        shared.entries.left(entry.number);
        let name = key.strip_prefix(shared.range(entry).start()).unwrap_or_default();
        let place = Place { name, created, modified: handed_at }.write();
        return Ok(Detached::new(detaching.secret.clone(), site(&shared.client)).with_place(place));
    }
    Err(Error::unavailable("another program puts the entry into the store again and again"))
}

pub(super) async fn adopt(shared: &Shared, entry: &Arc<Entry>, detached: &Detached) -> Result<Option<Grant>, Error> {
    detached.check_site(&site(&shared.client))?;
    let Some((place, ticket)) = Place::read(&detached.place).zip(lease_of(&detached.secret)) else { return Ok(None) };
    let (range, lease) = (shared.range(entry), shared.lease());
    let key = format!("{}{}", range.start(), place.name);
    // Before it is sent: an audit must know the key from then on.
    shared.has_adopted.store(true, Ordering::Release);
    shared.entries.update(entry, |state| {
        state.adopted = Some(key.as_str().into());
        state.lease.get_or_insert(lease);
    });
    shared.entries.sent(entry);
    let unchanged = [
        Compare::mod_revision(key.as_str(), CompareOp::Equal, place.modified),
        Compare::lease(key.as_str(), CompareOp::Equal, ticket),
    ];
    // Without an answer it stays unresolved.
    let adopted = shared.transaction(entry, &replace(&key, &unchanged, names::content(entry), lease)).await?;
    // After either answer an earlier attempt cannot be carried out any more.
    shared.entries.resolved(entry.number);
    let held_since = match queue::key_read(&adopted, 1, place.created) {
        _ if adopted.succeeded() => queue::revision(adopted.header()),
        Some(read) if read.value == names::content(entry) => read.modified,
        _ => {
            shared.entries.left(entry.number);
            return Ok(None);
        }
    };
    shared.entries.update(entry, |state| {
        (state.created, state.adopted_at) = (Some(place.created), Some(held_since));
        relocate::note_lease(shared, state);
    });
    let client = Arc::clone(&shared.client);
    shared.client.world.spawn(async move {
        // It has no keys any more. Otherwise it expires.
        let _ = lease::revoke(&client, ticket).await;
    });
    Ok(Some(Grant::new(queue::fence(held_since))))
}

/// Puts another record with another lease under the key, only while all conditions are true; reads it otherwise.
fn replace(key: &str, conditions: &[Compare], record: Vec<u8>, lease: i64) -> Txn {
    let put = TxnOp::put(key, record, Some(PutOptions::new().with_lease(lease)));
    Txn::new().when(conditions).and_then([put]).or_else([TxnOp::get(key, None)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_back_and_no_other_text_is_one() {
        let place = Place { name: "5e-7", created: 12, modified: 15 }.write();
        let read = Place::read(&place).unwrap();
        assert_eq!((read.name, read.created, read.modified), ("5e-7", 12, 15));
        for odd in [
            "",
            "x",
            "5e-7",
            "5e-7 12",
            "5e-7 12 15 16",
            "5e-7 12 x",
            "a/5e-7 12 15",
            "other 12 15",
            " 12 15",
            "5e-x 1 2",
        ] {
            assert!(Place::read(odd).is_none(), "{odd}");
        }
    }

    #[test]
    fn a_secret_has_a_lease_and_what_is_none_has_not() {
        let lease = |secret: &str| lease_of(&Secret::new(secret.into()));
        assert_eq!(lease("00000000000000040000000000000000"), Some(2));
        assert_eq!(lease("ffffffffffffffff0000000000000000"), Some(i64::MAX));
        for odd in ["", "x", "0000000000000001000", "000000000000000é"] {
            assert_eq!(lease(odd), None, "{odd}");
        }
    }
}
