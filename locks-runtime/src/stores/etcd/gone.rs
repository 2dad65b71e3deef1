//! Early notice of a hold that somebody else ended. The session's deadline does not depend on it.

use super::hub::Notice;
use super::session::Shared;
use super::turn::DELETED;
use crate::contract::Entry;
use crate::contract::pause::Pause;
use crate::values::error::Error;
use etcd_client::GetOptions;
use std::future::pending;

/// Watches the entry's own key, and ends when it was deleted by somebody else; `None` if it was not in the store, or
/// was taken out by ourselves.
pub(super) async fn gone(shared: &Shared, entry: &Entry) -> Option<Error> {
    let created = shared.known(entry, |slot| slot.created)?;
    let mut from = created + 1;
    let mut pause = Pause::default();
    loop {
        let opening = shared.cluster.openings.acquire().await;
        // Boxed, as all that does not wait for long: thousands of these wait at once.
        let begun = Box::pin(shared.cluster.watch(shared.key(entry), None, from)).await;
        drop(opening);
        if let Some((mut watch, _)) = begun {
            match watch.next().await {
                Some(Notice::Deleted(_)) => return lost(shared, entry).await,
                Some(Notice::Compacted) => match Box::pin(still_there(shared, entry, created)).await {
                    Some(Some(revision)) => from = revision + 1,
                    Some(None) => return lost(shared, entry).await,
                    None => {}
                },
                _ => shared.cluster.suspect(watch.member),
            }
        }
        Box::pin(pause.wait()).await;
    }
}

/// The error, unless it was we who deleted it.
async fn lost(shared: &Shared, entry: &Entry) -> Option<Error> {
    let expected = shared.known(entry, |slot| Some(slot.leaving)).unwrap_or(true);
    if expected { pending().await } else { Some(Error::lost(DELETED)) }
}

/// The revision at which the key was seen, or `Some(None)` that it is gone; `None` if nobody answers.
async fn still_there(shared: &Shared, entry: &Entry, created: i64) -> Option<Option<i64>> {
    let answer = shared
        .cluster
        .call(shared.cluster.config.attempt(), |link| {
            let mut kv = link.kv.clone();
            let key = shared.key(entry);
            async move { kv.get(key, Some(GetOptions::new().with_keys_only())).await }
        })
        .await
        .ok()?;
    let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
    Some(answer.kvs().iter().any(|kv| kv.create_revision() == created).then_some(revision))
}
