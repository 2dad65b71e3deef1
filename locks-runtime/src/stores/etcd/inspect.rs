//! The queues of locks as the store has them, and releasing a lock by force.
//!
//! Every key directly under a lock's name is in its queue, whichever client put it there. For a whole prefix that would
//! make a lock of each key with a `/`, so there a name counts as a lock's only if one of its keys looks like an entry: it
//! has our record, or a lease and no value, as Go's clients and `etcdctl lock` create them, or the name that candidates have.

use super::client::Client;
use super::error::{Failure, Verdict};
use super::names::{self, QueueRange};
use super::queue::{self, QueueKey};
use crate::contract::{Line, Listed, Scope, Seen};
use crate::values::error::Error;
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::mode::Ahead;
use etcd_client::{Compare, CompareOp, GetOptions, SortOrder, SortTarget};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many keys one request reads.
const PAGE: i64 = 500;

/// The queue of each lock in scope.
#[derive(Debug, Default)]
pub(super) struct Queues(BTreeMap<Key, Queue>);

/// What distinguishes two holds: the create revision, or that at which it was adopted, and the key.
pub(super) type HoldId = (i64, Vec<u8>);

/// The keys of one lock, by when they were created.
type Queue = BTreeMap<(i64, Vec<u8>), QueueKey>;

pub(super) async fn inspect(client: &Client, scope: &Scope) -> Result<Vec<Line>, Error> {
    let (queues, _) = read(client, scope).await?;
    Ok(queues.into_lines(scope))
}

/// Everything in scope at one revision, and that revision.
pub(super) async fn read(client: &Client, scope: &Scope) -> Result<(Queues, i64), Failure> {
    loop {
        match read_pages(client, scope).await {
            // Compacted between two pages: read everything again.
            Err(failure) if failure.verdict == Verdict::Compacted => {}
            other => return other,
        }
    }
}

async fn read_pages(client: &Client, scope: &Scope) -> Result<(Queues, i64), Failure> {
    let namespace = &client.config.namespace;
    let (mut start, end) = range(namespace, scope);
    let (mut queues, mut revision) = (Queues::default(), 0);
    loop {
        let page = GetOptions::new().with_range(end.clone()).with_limit(PAGE).with_revision(revision);
        let answer = client.get(&start, &page).await.map_err(|failure| failure.about(&scope_name(namespace, scope)))?;
        if revision == 0 {
            revision = queue::revision(answer.header());
        }
        for key in queue::keys(&answer) {
            queues.insert(namespace, scope, key);
        }
        match answer.kvs().last() {
            Some(last) if answer.more() => {
                start = last.key().to_vec();
                start.push(0);
            }
            _ => return Ok((queues, revision)),
        }
    }
}

/// The range of keys that belong to the scope; an end of one zero byte means up to the last key.
pub(super) fn range(namespace: &str, scope: &Scope) -> (Vec<u8>, Vec<u8>) {
    match scope {
        Scope::Key(key) => {
            let range = QueueRange::new(namespace, key);
            (range.start().into(), range.end().into())
        }
        Scope::Prefix(prefix) => {
            let start = format!("{namespace}{prefix}").into_bytes();
            let mut end = start.clone();
            while end.pop_if(|last| *last == u8::MAX).is_some() {}
            if let Some(last) = end.last_mut() {
                *last += 1;
            }
            if start.is_empty() { (vec![0], vec![0]) } else { (start, end) }
        }
    }
}

/// The scope as an error message names it.
fn scope_name(namespace: &str, scope: &Scope) -> String {
    match scope {
        Scope::Key(key) => format!("{namespace}{key}/"),
        Scope::Prefix(prefix) => format!("{namespace}{prefix}*"),
    }
}

/// Deletes the entries that hold the lock, or of them the one that was created at this revision, and no others: returns how
/// many that were.
pub(super) async fn force_release(client: &Client, key: &Key, created: Option<u64>) -> Result<usize, Error> {
    let range = QueueRange::new(&client.config.namespace, key);
    let all = GetOptions::new().with_range(range.end()).with_sort(SortTarget::Create, SortOrder::Ascend);
    // What distinguishes a hold may be in its record.
    let all = if created.is_none() { all.with_keys_only() } else { all };
    let answer = client.get(range.start(), &all).await.map_err(|failure| failure.about(range.start()))?;
    let keys = queue::keys(&answer);
    let (holders, _) = split(keys.iter().filter(|found| range.contains(&found.key)));
    let mut deleted = 0;
    let is_meant = |holder: &&QueueKey| created.is_none_or(|created| queue::fence(holder.held_since()) == created);
    for holder in holders.into_iter().filter(is_meant) {
        deleted += usize::from(delete(client, &range, holder, created.is_some()).await?);
    }
    Ok(deleted)
}

/// Whether the key was there, with this very record if `is_same`, and is no more.
async fn delete(client: &Client, range: &QueueRange, holder: &QueueKey, is_same: bool) -> Result<bool, Error> {
    let holder_key = String::from_utf8_lossy(&holder.key).into_owned();
    let is_there = |key: &str| match is_same {
        true => Compare::value(key, CompareOp::Equal, holder.value.clone()),
        false => Compare::create_revision(key, CompareOp::Equal, holder.created),
    };
    let delete = queue::delete(&[holder_key], is_there).transaction();
    let attempts = AtomicU32::new(0);
    let answer = client
        .request(|connection| {
            attempts.fetch_add(1, Ordering::Relaxed);
            let (mut kv, delete) = (connection.kv.clone(), delete.clone());
            async move { kv.txn(delete).await }
        })
        .await
        .map_err(|failure| failure.about(range.start()))?;
    // If the entry was gone at the second attempt, the first one deleted it. Whoever holds the lock by now is another.
    Ok(answer.succeeded() || attempts.load(Ordering::Relaxed) > 1)
}

impl Queues {
    /// Notes a key; returns the lock to which it belongs.
    pub(super) fn insert(&mut self, namespace: &str, scope: &Scope, key: QueueKey) -> Option<Key> {
        let lock = names::lock_of(&key.key, namespace).filter(|lock| scope.contains(lock.as_str()))?;
        self.0.entry(lock.clone()).or_default().insert((key.created, key.key.clone()), key);
        Some(lock)
    }

    /// Notes that a key is gone; returns the lock to which it belonged.
    pub(super) fn remove(&mut self, namespace: &str, key: &[u8]) -> Option<Key> {
        let lock = names::lock_of(key, namespace)?;
        let queue = self.0.get_mut(&lock)?;
        queue.retain(|(_, known), _| known != key);
        if queue.is_empty() {
            self.0.remove(&lock);
        }
        Some(lock)
    }

    /// Who holds `lock`, and who waits for it.
    pub(super) fn seen(&self, scope: &Scope, lock: &Key) -> Seen<HoldId> {
        let Some(queue) = self.0.get(lock).filter(|queue| is_a_lock(scope, queue)) else { return Seen::default() };
        let (holders, waiters) = split(queue.values());
        let identified = |key: &QueueKey| ((key.held_since(), key.key.clone()), key.holder());
        Seen::held(holders.into_iter().map(identified)).with_waiters(waiters.into_iter().map(QueueKey::holder))
    }

    pub(super) fn locks(&self) -> impl Iterator<Item = &Key> {
        self.0.keys()
    }

    fn into_lines(self, scope: &Scope) -> Vec<Line> {
        let locks = self.0.into_iter().filter(|(_, queue)| is_a_lock(scope, queue));
        locks
            .map(|(lock, queue)| {
                let (holders, waiters) = split(queue.values());
                let listed = |key: &QueueKey| Listed::from(key.holder()).with_fence(queue::fence(key.held_since()));
                let waiters = waiters.into_iter().map(QueueKey::holder).collect();
                Line::new(lock, holders.into_iter().map(listed).collect(), waiters)
            })
            .collect()
    }
}

/// Who holds the lock, and who waits for it, of the keys of its queue in order.
fn split<'a>(keys: impl Iterator<Item = &'a QueueKey>) -> (Vec<&'a QueueKey>, Vec<&'a QueueKey>) {
    let mut ahead = Ahead::default();
    keys.partition(|key| {
        let mode = names::mode_of(&key.key);
        let holds = ahead.let_hold(mode);
        ahead.push(mode);
        holds
    })
}

fn is_a_lock(scope: &Scope, queue: &Queue) -> bool {
    let is_entry = |key: &QueueKey| {
        let is_of_election = names::is_candidate(&key.key) || names::is_gos(&key.key, key.lease);
        key.lease != 0 && (key.value.is_empty() || is_of_election) || Holder::from_json(&key.value).is_known()
    };
    matches!(scope, Scope::Key(_)) || queue.values().any(is_entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, created: i64, lease: i64, value: &[u8]) -> QueueKey {
        QueueKey { key: name.into(), value: value.to_vec(), created, modified: created, lease }
    }

    fn lines(scope: &Scope, keys: &[QueueKey]) -> Vec<Line> {
        let mut queues = Queues::default();
        for key in keys {
            queues.insert("ns", scope, key.clone());
        }
        queues.into_lines(scope)
    }

    #[test]
    fn a_queue_is_in_order_of_creation_and_locks_in_order_of_their_keys() {
        let record = br#"{"v":1,"name":"us"}"#;
        let keys = [
            key("ns/b/1", 3, 1, b""),
            key("ns/a/9", 2, 1, record),
            key("ns/a/1", 5, 1, b""),
            key("ns/a/b/1", 1, 1, b""),
        ];
        let found = lines(&Scope::Prefix(String::new()), &keys);
        let locks: Vec<_> = found.iter().map(|line| line.key.as_str()).collect();
        assert_eq!(locks, ["/a", "/a/b", "/b"]);
        assert_eq!(found[0].holders[0].name, "us");
        assert_eq!(found[0].waiters.len(), 1);
        assert!(!found[0].waiters[0].is_known());
    }

    #[test]
    fn keys_that_only_have_a_slash_are_no_locks_unless_that_name_is_asked_for() {
        let keys = [key("ns/config/port", 3, 0, b"80"), key("ns/services/web", 4, 9, b"10.0.0.1")];
        assert!(lines(&Scope::Prefix(String::new()), &keys).is_empty());
        let line = lines(&Scope::Key(Key::new("/config").unwrap()), &keys);
        assert!(line[0].holders[0].to_string().contains("etcdctl del ns/config/port"), "{line:?}");
    }

    #[test]
    fn a_key_without_a_lease_before_an_entry_is_the_holder() {
        let keys = [key("ns/a/x", 2, 0, b"?"), key("ns/a/1", 5, 1, b"")];
        let found = lines(&Scope::Prefix("/a".into()), &keys);
        assert!(found[0].holders[0].remark.as_deref().unwrap().contains("without a lease"));
    }

    #[test]
    fn a_scope_is_a_range() {
        assert_eq!(range("ns", &Scope::Prefix("/a".into())), (b"ns/a".to_vec(), b"ns/b".to_vec()));
        assert_eq!(range("", &Scope::Prefix(String::new())), (vec![0], vec![0]));
        assert_eq!(range("", &Scope::Key(Key::new("a").unwrap())), (b"a/".to_vec(), b"a0".to_vec()));
    }
}
