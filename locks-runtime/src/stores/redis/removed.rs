//! Noticing that an entry is gone although it has not left.

use super::entries::Status;
use super::error;
use super::poll;
use super::shared::Shared;
use crate::contract::Entry;
use crate::values::error::Error;
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;

pub(super) async fn removed(shared: Arc<Shared>, entry: &Entry) -> Result<Infallible, Error> {
    let status = shared.entries.subscribe(entry.number);
    poll::start(&shared);
    // This future must not keep the session alive: one that is not renewed any more has to end.
    drop(shared);
    if let Some(mut status) = status
        && status.wait_for(|status| *status == Status::Gone).await.is_ok()
    {
        return Err(Error::lost(error::ENTRY_GONE));
    }
    // It has left.
    pending().await
}
