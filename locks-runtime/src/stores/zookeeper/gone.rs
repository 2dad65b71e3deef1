//! Early notice of a hold that somebody else ended. The session's deadline does not depend on it.

use super::session::Shared;
use super::turn::DELETED;
use super::watched;
use crate::contract::Entry;
use crate::contract::pause::Pause;
use crate::values::error::Error;
use crate::world::random;
use std::sync::Arc;

/// Watches the entry's own node, and ends when it was deleted by somebody else; `None` if it was not in the store, or
/// was taken out by ourselves.
pub(super) async fn gone(shared: &Arc<Shared>, entry: &Entry) -> Option<Error> {
    let node = shared.known(entry, |slot| slot.node.clone())?;
    let path = format!("{}/{}", shared.parent(entry), node.name);
    let mut pause = Pause::default();
    loop {
        match watched::watch(shared, path.clone()).await {
            // A node that is moved to another session changes too, and stays.
            Ok((_, Some(told))) => told.await,
            Ok((_, None)) => tokio::time::sleep(random::between(shared.ttl / 4, shared.ttl / 3)).await,
            Err(trouble) if trouble.is_no_node() => {
                let expected = shared.known(entry, |slot| Some(slot.leaving)).unwrap_or(true);
                return (!expected).then(|| Error::lost(DELETED));
            }
            Err(trouble) if trouble.is_passing(shared.config()) => pause.wait().await,
            // What became of the session is the renewal's to tell.
            Err(_) => return None,
        }
    }
}
