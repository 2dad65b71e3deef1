//! What stands in the store, read as locks and lines; and taking a lock away.
//!
//! A lock in scope is found by what is beside it, so over a prefix only those show that a client of this project holds
//! or waits for: any other key might be anything. A lock that is asked for by its own name shows whoever has it.

use super::answer::{self, Found, Left};
use super::names;
use super::server::Request;
use super::store::Inner;
use crate::contract::{Line, Scope};
use crate::values::error::Error;
use crate::values::holder::Holder;
use crate::values::key::Key;
use redis::Value;
use std::collections::BTreeSet;

/// How many keys the server looks at, and how many locks it reads, in one request.
const SCANNED: usize = 1000;
const READ: usize = 100;

pub(super) async fn inspect(store: &Inner, scope: &Scope) -> Result<Vec<Line>, Error> {
    let found = read_all(store, scope).await?;
    Ok(found.into_iter().filter_map(|(key, found)| line(store, key, &found)).collect())
}

/// All locks in scope that there may be, sorted by key.
pub(super) async fn read_all(store: &Inner, scope: &Scope) -> Result<Vec<(Key, Found)>, Error> {
    let keys = match scope {
        Scope::Key(key) => vec![key.clone()],
        Scope::Prefix(prefix) => scan(store, scope, prefix).await?,
    };
    read(store, &keys).await
}

/// Each lock as it is now.
pub(super) async fn read(store: &Inner, keys: &[Key]) -> Result<Vec<(Key, Found)>, Error> {
    let mut all = Vec::with_capacity(keys.len());
    for some in keys.chunks(READ) {
        let names: Result<_, _> = some.iter().map(|key| names::name(&store.server.config.namespace, key)).collect();
        let request = Request { what: "read", keys: names?, arguments: Vec::new() };
        let value = store.server.ask(store.server.config.attempt(), &request).await.result?;
        for (key, found) in some.iter().zip(answer::items(&value)?) {
            all.push((key.clone(), answer::found(found)?));
        }
    }
    Ok(all)
}

async fn scan(store: &Inner, scope: &Scope, prefix: &str) -> Result<Vec<Key>, Error> {
    let namespace = &store.server.config.namespace;
    let (mut cursor, mut keys) = (b"0".to_vec(), BTreeSet::new());
    loop {
        let mut scan = redis::cmd("SCAN");
        // Holders and waiters are hashes; fences, of which there are many more, are not.
        scan.arg(&cursor).arg("MATCH").arg(names::pattern(namespace, prefix));
        scan.arg("COUNT").arg(SCANNED).arg("TYPE").arg("hash");
        let value = store.server.command(store.server.config.attempt(), &scan).await?;
        let [next, found] = answer::items(&value)? else { return Err(answer::strange(&value)) };
        let found = answer::items(found)?.iter().filter_map(answer::bytes);
        let found = found.filter_map(|key| std::str::from_utf8(key).ok());
        keys.extend(found.filter_map(|key| names::lock_beside(namespace, scope, key)));
        cursor = answer::bytes(next).ok_or_else(|| answer::strange(&value))?.to_vec();
        if cursor == b"0" {
            return Ok(keys.into_iter().collect());
        }
    }
}

fn line(store: &Inner, key: Key, found: &Found) -> Option<Line> {
    let holders: Vec<Holder> = owner(store, &key, found).into_iter().collect();
    let waiters: Vec<Holder> = found.waiters.iter().map(|record| Holder::from_json(record)).collect();
    (!holders.is_empty() || !waiters.is_empty()).then(|| Line::new(key, holders, waiters))
}

/// Who holds the lock.
pub(super) fn owner(store: &Inner, key: &Key, found: &Found) -> Option<Holder> {
    found.owner.as_ref()?;
    let name = names::name(&store.server.config.namespace, key).ok()?;
    let left: Left = found.left;
    Some(answer::holder(found.record.as_deref(), &name, left))
}

/// Takes the lock from the one who has it, and from nobody else: gives how many entries that were.
pub(super) async fn force_release(store: &Inner, key: &Key) -> Result<usize, Error> {
    let Some((_, Found { owner: Some(owner), .. })) = read(store, std::slice::from_ref(key)).await?.pop() else {
        return Ok(0);
    };
    let name = names::name(&store.server.config.namespace, key)?;
    let request = Request { what: "force", keys: vec![name], arguments: vec![owner] };
    let reply = store.server.ask(store.server.config.attempt(), &request).await;
    // If it was gone at the second attempt, the first one took it. Whoever holds the lock by now is another.
    Ok(usize::from(reply.result? == Value::Int(1) || reply.in_doubt))
}
