//! Early notice that an entry was removed. The session's deadline does not depend on it.

use super::error::ENTRY_DELETED;
use super::multiplexer::Notification;
use super::queue;
use super::shared::Shared;
use crate::contract::{Backoff, Entry};
use crate::values::error::Error;
use etcd_client::GetOptions;
use std::convert::Infallible;
use std::future::pending;

/// What a read showed of the entry's key.
enum Key {
    /// It is there at this revision.
    There(i64),
    Gone,
    /// etcd did not answer.
    Unknown,
}

/// Watches the entry's own key, and ends when it was deleted although the entry has not left.
pub(super) async fn removed(shared: &Shared, entry: &Entry) -> Result<Infallible, Error> {
    let Some(created) = shared.created(entry) else { return pending().await };
    let mut from = created + 1;
    let mut backoff = Backoff::of_stream(&shared.client.world);
    loop {
        let permit = shared.client.background_watches.acquire().await;
        // Boxed, as all that does not wait for long: thousands of these wait at once.
        let begun = Box::pin(shared.client.watch(shared.key(entry), None, from)).await;
        drop(permit);
        if let Some((mut watch, _)) = begun {
            match watch.next().await {
                Some(Notification::Deleted(_)) => return deleted(shared, entry).await,
                Some(Notification::Compacted) => match Box::pin(read(shared, entry, created)).await {
                    Key::There(revision) => from = revision + 1,
                    Key::Gone => return deleted(shared, entry).await,
                    Key::Unknown => {}
                },
                _ => shared.client.avoid(watch.member),
            }
        }
        Box::pin(backoff.wait()).await;
    }
}

/// Reports the deletion, unless this session did it.
async fn deleted(shared: &Shared, entry: &Entry) -> Result<Infallible, Error> {
    if shared.entries.is_leaving(entry.number) { pending().await } else { Err(Error::lost(ENTRY_DELETED)) }
}

async fn read(shared: &Shared, entry: &Entry, created: i64) -> Key {
    match shared.client.get(shared.key(entry), &GetOptions::new().with_keys_only()).await {
        Ok(answer) if answer.kvs().iter().any(|kv| kv.create_revision() == created) => {
            Key::There(queue::revision(answer.header()))
        }
        Ok(_) => Key::Gone,
        Err(_) => Key::Unknown,
    }
}
