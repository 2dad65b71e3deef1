//! What was done once: it is remembered for as long as the process lives, as everything here is.

use super::shared::Shared;
use super::state::State;
use crate::contract::Entry;
use crate::values::error::Error;
use crate::values::key::Key;
use std::sync::Arc;

pub(super) async fn mark(shared: &Shared, session: u64, entry: &Entry, record: Arc<str>) -> Result<(), Error> {
    shared.room()?;
    let mark = |state: &mut State, _| {
        state.session(session)?;
        if !state.is_there(session, entry) || state.grant_of(session, entry).is_none() {
            return Err(Error::lost("the entry no longer holds the lock"));
        }
        state.done.insert(entry.key.clone(), record);
        Ok(())
    };
    shared.request(mark).await
}

pub(super) async fn read(shared: &Shared, key: &Key) -> Result<Option<String>, Error> {
    shared.request(|state, _| Ok(state.done.get(key).map(|record| record.to_string()))).await
}

pub(super) async fn forget(shared: &Shared, key: &Key) -> Result<bool, Error> {
    shared.request(|state, _| Ok(state.done.remove(key).is_some())).await
}
