//! What was done once: a key without a lease, `<namespace><key>`, a tab and `/done`.
//!
//! No lock's key has a control character, so that no lock is named like that; and because of the slash no key above takes it for an
//! entry. Go's clients make no such difference: to them it is in the queue of every lock whose key it lies below, as nested locks are.

use super::client::Client;
use super::error::ENTRY_DELETED;
use super::shared::Shared;
use crate::contract::Entry;
use crate::values::error::Error;
use crate::values::key::Key;
use etcd_client::{Compare, CompareOp, GetOptions, Txn, TxnOp};
use std::sync::Arc;

pub(super) async fn mark(shared: &Shared, entry: &Entry, record: Arc<str>) -> Result<(), Error> {
    let Some(created) = shared.created(entry) else { return Err(Error::lost(ENTRY_DELETED)) };
    let put = TxnOp::put(name(&shared.client, &entry.key), record.as_bytes(), None);
    let marking = Txn::new().when([shared.is_there(entry, created)]).and_then([put]);
    let marked = shared.transaction(entry, &marking).await?;
    if marked.succeeded() { Ok(()) } else { Err(Error::lost(ENTRY_DELETED)) }
}

pub(super) async fn read(client: &Client, key: &Key) -> Result<Option<String>, Error> {
    let name = name(client, key);
    let read = client.get(&name, &GetOptions::new()).await.map_err(|failure| failure.about(&name))?;
    Ok(read.kvs().first().map(|found| String::from_utf8_lossy(found.value()).into_owned()))
}

pub(super) async fn forget(client: &Client, key: &Key) -> Result<bool, Error> {
    let name = name(client, key);
    let is_there = Compare::create_revision(name.as_str(), CompareOp::Greater, 0);
    let forgetting = Txn::new().when([is_there]).and_then([TxnOp::delete(name.as_str(), None)]);
    let forgotten = client.transaction(&forgetting).await.map_err(|failure| failure.about(&name))?;
    Ok(forgotten.succeeded())
}

fn name(client: &Client, key: &Key) -> String {
    format!("{}{key}\t/done", client.config.namespace)
}
