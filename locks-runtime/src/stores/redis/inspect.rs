//! Reading locks from the store, and releasing them by force.
//!
//! A prefix finds a lock by the other keys that belong to it, so it shows only locks that a client of this project holds
//! or waits for: any other key might be anything. A lock that is asked for by its own name shows any holder.

use super::client::{Client, Request};
use super::names;
use super::reply::{self, LockReply};
use crate::contract::{Line, Scope};
use crate::values::error::Error;
use crate::values::holder::Holder;
use crate::values::key::Key;
use redis::Value;
use std::collections::BTreeSet;

/// How many keys the server looks at, and how many locks it reads, in one request.
const SCANNED: usize = 1000;
const READ: usize = 100;

pub(super) async fn inspect(client: &Client, scope: &Scope) -> Result<Vec<Line>, Error> {
    let found = read_all(client, scope).await?;
    Ok(found.into_iter().filter_map(|(key, found)| line(client, key, &found)).collect())
}

/// Every lock in scope, sorted by key.
pub(super) async fn read_all(client: &Client, scope: &Scope) -> Result<Vec<(Key, LockReply)>, Error> {
    let keys = match scope {
        Scope::Key(key) => vec![key.clone()],
        Scope::Prefix(prefix) => scan(client, scope, prefix).await?,
    };
    read(client, &keys).await
}

/// Each lock as it is now.
pub(super) async fn read(client: &Client, keys: &[Key]) -> Result<Vec<(Key, LockReply)>, Error> {
    let mut all = Vec::with_capacity(keys.len());
    for batch in keys.chunks(READ) {
        let locks: Result<_, _> = batch.iter().map(|key| names::lock(&client.config.namespace, key)).collect();
        let request = Request { command: "inspect", locks: locks?, arguments: Vec::new() };
        let value = client.run(&request).await.result?;
        for (key, found) in batch.iter().zip(reply::items(&value)?) {
            all.push((key.clone(), reply::lock(found)?));
        }
    }
    Ok(all)
}

async fn scan(client: &Client, scope: &Scope, prefix: &str) -> Result<Vec<Key>, Error> {
    let namespace = &client.config.namespace;
    let (mut cursor, mut keys) = (b"0".to_vec(), BTreeSet::new());
    loop {
        let mut scan = redis::cmd("SCAN");
        // Holders and waiters are hashes; fences, of which there are many more, are not.
        scan.arg(&cursor).arg("MATCH").arg(names::pattern(namespace, prefix));
        scan.arg("COUNT").arg(SCANNED).arg("TYPE").arg("hash");
        let value = client.send_within(client.config.request_timeout(), &scan).await?;
        let [next, found] = reply::items(&value)? else { return Err(reply::unexpected(&value)) };
        let found = reply::items(found)?.iter().filter_map(reply::bytes);
        let found = found.filter_map(|name| std::str::from_utf8(name).ok());
        keys.extend(found.filter_map(|name| names::key_of_related(namespace, scope, name)));
        cursor = reply::bytes(next).ok_or_else(|| reply::unexpected(&value))?.to_vec();
        if cursor == b"0" {
            return Ok(keys.into_iter().collect());
        }
    }
}

fn line(client: &Client, key: Key, found: &LockReply) -> Option<Line> {
    let holders: Vec<Holder> = holder(client, &key, found).into_iter().collect();
    let waiters: Vec<Holder> = found.waiters.iter().map(|record| Holder::from_json(record)).collect();
    (!holders.is_empty() || !waiters.is_empty()).then(|| Line::new(key, holders, waiters))
}

/// Who holds the lock.
pub(super) fn holder(client: &Client, key: &Key, found: &LockReply) -> Option<Holder> {
    found.owner.as_ref()?;
    let lock = names::lock(&client.config.namespace, key).ok()?;
    Some(reply::holder(found.record.as_deref(), &lock, found.expires_in))
}

/// Releases the lock by force if it is still held by whoever holds it now; returns how many entries that were.
pub(super) async fn force_release(client: &Client, key: &Key) -> Result<usize, Error> {
    let Some((_, LockReply { owner: Some(owner), .. })) = read(client, std::slice::from_ref(key)).await?.pop() else {
        return Ok(0);
    };
    let lock = names::lock(&client.config.namespace, key)?;
    let response = client.run(&Request { command: "force_release", locks: vec![lock], arguments: vec![owner] }).await;
    // If it was gone at the second attempt, the first one released it. Whoever holds the lock by now is another.
    Ok(usize::from(response.result? == Value::Int(1) || response.is_unresolved))
}
