//! Reading locks from the store, and releasing them by force.
//!
//! A prefix finds a lock by the value of its key, or by the other keys that belong to it, so it shows only locks that a client
//! of this project holds or waits for: any other key might be anything. A lock that is asked for by its own name shows any holder.

use super::client::Client;
use super::each;
use super::names;
use super::reply::{self, LockReply};
use super::request::Request;
use super::topology::Shard;
use crate::contract::{Line, Scope};
use crate::values::error::{Error, ErrorKind};
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
    let limit = client.config.request_timeout();
    let mut all = Vec::with_capacity(keys.len());
    for batch in keys.chunks(READ) {
        let item = |key| Ok(each::Item { lock: names::lock(&client.config.namespace, key)?, argument: String::new() });
        let items: Vec<each::Item> = batch.iter().map(item).collect::<Result<_, Error>>()?;
        for (key, found) in batch.iter().zip(each::run(client, limit, "inspect", "", &items).await?) {
            all.push((key.clone(), reply::lock(&found?)?));
        }
    }
    Ok(all)
}

/// What is scanned for. In this order a hold that is divided meanwhile is found in one of the two.
const SCANS: [Scan; 2] = [Scan::Whole, Scan::Divided];

#[derive(Clone, Copy)]
enum Scan {
    /// Holds in one piece.
    Whole,
    /// Holders and waiters that have keys of their own, which are hashes; fences, of which there may be many more, are not.
    Divided,
}

async fn scan(client: &Client, scope: &Scope, prefix: &str) -> Result<Vec<Key>, Error> {
    let namespace = &client.config.namespace;
    let mut keys = BTreeSet::new();
    let shards = client.shards().await?;
    for scan in SCANS {
        for shard in &shards {
            let names = scan_shard(client, shard, scan, prefix).await?;
            keys.extend(names.iter().filter_map(|name| match scan {
                Scan::Whole => names::key_of_lock(namespace, name).filter(|key| scope.contains(key.as_str())),
                Scan::Divided => names::key_of_related(namespace, scope, name),
            }));
        }
    }
    Ok(keys.into_iter().collect())
}

/// The names of keys of one server.
async fn scan_shard(client: &Client, shard: &Shard, scan: Scan, prefix: &str) -> Result<Vec<String>, Error> {
    let (mut names, mut cursor) = (Vec::new(), b"0".to_vec());
    loop {
        let value = step(client, shard, scan, prefix, cursor).await?;
        let [next, found] = reply::items(&value)? else { return Err(reply::unexpected(&value)) };
        let found = reply::items(found)?.iter().filter_map(reply::bytes);
        names.extend(found.filter_map(|name| std::str::from_utf8(name).ok()).map(str::to_owned));
        cursor = reply::bytes(next).ok_or_else(|| reply::unexpected(&value))?.to_vec();
        if cursor == b"0" {
            return Ok(names);
        }
    }
}

/// Some names, and the next cursor.
async fn step(client: &Client, shard: &Shard, scan: Scan, prefix: &str, cursor: Vec<u8>) -> Result<Value, Error> {
    let namespace = &client.config.namespace;
    match scan {
        Scan::Whole => {
            let pattern = names::pattern_of_locks(namespace, prefix).into_bytes();
            let arguments = vec![cursor, pattern, SCANNED.to_string().into_bytes()];
            client.run_on(shard, &Request { command: "scan", locks: Vec::new(), arguments }).await
        }
        Scan::Divided => {
            let mut scan = redis::cmd("SCAN");
            let of = if client.is_by_slot() { names::pattern_in_cluster } else { names::pattern };
            scan.arg(cursor).arg("MATCH").arg(of(namespace, prefix));
            scan.arg("COUNT").arg(SCANNED).arg("TYPE").arg("hash");
            client.ask(&shard.node, client.config.request_timeout(), &scan).await
        }
    }
}

fn line(client: &Client, key: Key, found: &LockReply) -> Option<Line> {
    let [holders, waiters] = found.listed(&names::lock(&client.config.namespace, &key).ok()?);
    (!holders.is_empty() || !waiters.is_empty()).then(|| Line::new(key, holders, waiters))
}

/// Releases the lock by force if it is still held by whoever holds it now, or of them the one with this fence; returns how many
/// entries that were.
///
/// What is not known to be a lock stays: it is an application's data.
pub(super) async fn force_release(client: &Client, key: &Key, fence: Option<u64>) -> Result<usize, Error> {
    let Some((_, found)) = read(client, std::slice::from_ref(key)).await?.pop() else { return Ok(0) };
    let Some(owner) = found.owner.clone() else { return Ok(0) };
    let lock = names::lock(&client.config.namespace, key)?;
    if !found.is_lock() {
        let kind = if found.kind == "redisson" { "hash" } else { &found.kind };
        return Err(Error::new(
            ErrorKind::InvalidKey,
            format!(
                "nothing was released: the key in Redis is a {kind} that is not known to be a lock (one that expires, \
                 with a value such as this crate, redis-py, Redlock, ShedLock or Redisson write)"
            ),
        ));
    }
    let argument = fence.map(|fence| fence.to_string()).unwrap_or_default().into_bytes();
    let request = Request { command: "force_release", locks: vec![lock], arguments: vec![owner, argument] };
    let response = client.run(&request).await;
    let released = match response.result? {
        Value::Int(count) => usize::try_from(count).unwrap_or(0),
        odd => return Err(reply::unexpected(&odd)),
    };
    // If they were gone at the second attempt, the first one released them. Whoever holds the lock by now is another.
    Ok(if released == 0 && response.is_unresolved { meant(&found, fence) } else { released })
}

/// How many of these holders, of which there is one at least, are to be released.
fn meant(found: &LockReply, fence: Option<u64>) -> usize {
    match fence {
        Some(_) => found.holders.iter().filter(|holder| holder.fence == fence).count(),
        // Of a holder that is none of ours only the key is known.
        None => found.holders.len().max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::super::reply::HolderReply;
    use super::*;

    #[test]
    fn of_an_attempt_without_an_answer_only_those_count_that_were_there() {
        let of = |fences: &[Option<u64>]| LockReply {
            holders: fences.iter().map(|fence| HolderReply { fence: *fence, ..HolderReply::default() }).collect(),
            ..LockReply::default()
        };
        for (holders, fence, expected) in [
            (&[Some(7)][..], Some(7), 1),
            (&[Some(7)], Some(8), 0),
            (&[Some(7), Some(8)], Some(8), 1),
            (&[Some(7), Some(8)], Some(9), 0),
            (&[None], Some(9), 0),
            (&[], Some(9), 0),
            (&[Some(7), None], None, 2),
            (&[], None, 1),
        ] {
            assert_eq!(meant(&of(holders), fence), expected, "{fence:?} of {holders:?}");
        }
    }
}
