//! Handing a hold over: the lock's key gets a token of the ticket's, which no client renews, and then one of whoever adopts it.

use super::client::Client;
use super::connect::milliseconds;
use super::entries::Status;
use super::error;
use super::names;
use super::reply::{self, EntryReply};
use super::shared::Shared;
use crate::contract::{Detached, Detaching, Entry, Grant};
use crate::values::error::{Error, ErrorKind};
use redis::Value;
use std::sync::Arc;

/// The same for all clients that see the same locks, as far as that can be known without a request.
fn site(client: &Client) -> String {
    let database = if client.is_by_slot() { 0 } else { client.config.database };
    format!("redis:{database}:{}", client.config.namespace)
}

/// From before the request on, no renewal sends the entry.
pub(super) async fn detach(shared: &Shared, entry: &Entry, detaching: &Detaching) -> Result<Detached, Error> {
    let ledger = &shared.entries.ledger;
    let Some(ticket) = names::ticket(detaching.secret.reveal()) else { return Err(Error::lost(error::ENTRY_GONE)) };
    ledger.get(entry.number, |state| state.note(Status::Lapsing));
    let px = milliseconds(detaching.ttl).to_string().into();
    let arguments = vec![px, shared.token(entry).into(), ticket.into(), detaching.holder.to_json()];
    match shared.run("detach", shared.locks(entry)?, arguments).await.result? {
        Value::Int(1) => {
            ledger.left(entry.number);
            Ok(Detached::new(detaching.secret.clone(), site(&shared.client)))
        }
        _ => Err(Error::lost(error::ENTRY_GONE)),
    }
}

/// The entry is in the ledger before the request is sent, so that every renewal from then on covers it.
pub(super) async fn adopt(shared: &Shared, entry: &Arc<Entry>, detached: &Detached) -> Result<Option<Grant>, Error> {
    shared.check()?;
    detached.check_site(&site(&shared.client))?;
    let Some(ticket) = names::ticket(detached.secret.reveal()) else { return Ok(None) };
    let (locks, ledger) = (shared.locks(entry)?, &shared.entries.ledger);
    let px = milliseconds(shared.ttl).to_string().into();
    let arguments = vec![px, ticket.into(), shared.token(entry).into(), entry.holder.to_json()];
    ledger.sent(entry);
    let response = shared.run("adopt", locks, arguments).await;
    if !response.is_unresolved {
        ledger.resolved(entry.number);
    }
    if let Err(error) = &response.result
        && error.kind() != ErrorKind::Unavailable
    {
        ledger.forget_if(entry.number, |state| state.status() == Status::Requested);
    }
    match reply::entry(&response.result?)? {
        EntryReply::Held(grant) => {
            ledger.get(entry.number, |state| state.note_held(&grant));
            Ok(Some(grant))
        }
        _ => {
            ledger.left(entry.number);
            Ok(None)
        }
    }
}
