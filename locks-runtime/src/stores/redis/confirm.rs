//! What somebody else has granted to this client has to be on [replicas](super::replicas), too.

use super::connect::milliseconds;
use super::shared::Shared;
use crate::contract::Entry;
use crate::values::error::Error;

/// What was granted by whoever had the lock before has to be on replicas, too: written by this client once more, it is behind that.
pub(super) async fn confirm(shared: &Shared, entry: &Entry) -> Result<(), Error> {
    if shared.client.config.wait_replicas == 0 {
        return Ok(());
    }
    let (ttl, locks) = (milliseconds(shared.ttl), shared.locks(entry)?);
    let each = vec![format!("+{}", shared.token(entry)).into_bytes(); locks.len()];
    let arguments = std::iter::once(format!("{ttl}/{ttl}").into_bytes()).chain(each).collect();
    shared.run("confirm", locks, arguments).await.result.map(drop)
}
