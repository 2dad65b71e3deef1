//! What was done once: a key `{name}:done` that does not expire.

use super::client::Client;
use super::error;
use super::names;
use super::request::Request;
use super::shared::Shared;
use crate::contract::Entry;
use crate::values::error::Error;
use crate::values::key::Key;
use redis::Value;
use std::sync::Arc;

pub(super) async fn mark(shared: &Shared, entry: &Entry, record: Arc<str>) -> Result<(), Error> {
    let arguments = vec![shared.token(entry).into(), record.as_bytes().to_vec()];
    match shared.run("mark_done", shared.locks(entry)?, arguments).await.result? {
        Value::Int(1) => Ok(()),
        _ => Err(Error::lost(error::ENTRY_GONE)),
    }
}

pub(super) async fn read(client: &Client, key: &Key) -> Result<Option<String>, Error> {
    match run(client, "done", key).await? {
        Value::BulkString(record) => Ok(Some(String::from_utf8_lossy(&record).into_owned())),
        _ => Ok(None),
    }
}

pub(super) async fn forget(client: &Client, key: &Key) -> Result<bool, Error> {
    Ok(run(client, "forget", key).await? == Value::Int(1))
}

async fn run(client: &Client, command: &'static str, key: &Key) -> Result<Value, Error> {
    let locks = vec![names::lock(&client.config.namespace, key)?];
    client.run(&Request { command, locks, arguments: Vec::new() }).await.result
}
