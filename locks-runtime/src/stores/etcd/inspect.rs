//! What stands in the store, read as locks and lines; and taking a lock away.
//!
//! Every key directly under a lock's name is in its line, whoever put it there. Over a whole prefix that would call
//! each key with a `/` a lock, so there a name counts as a lock's only if one of its keys looks like an entry: it has
//! our record, or a lease and no value, as Go's clients and `etcdctl lock` leave them.

use super::cluster::Cluster;
use super::line::{self, Place};
use super::names::{self, Name};
use super::status::{Failure, Verdict};
use crate::contract::{Line, Scope};
use crate::values::error::Error;
use crate::values::holder::Holder;
use crate::values::key::Key;
use etcd_client::{Compare, CompareOp, GetOptions, SortOrder, SortTarget};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many keys one request brings.
const PAGE: i64 = 500;

/// The keys of each lock in scope, by when they were created.
#[derive(Debug, Default)]
pub(super) struct Lines(BTreeMap<Key, Standing>);

type Standing = BTreeMap<(i64, Vec<u8>), Place>;

pub(super) async fn inspect(cluster: &Cluster, scope: &Scope) -> Result<Vec<Line>, Error> {
    let (lines, _) = read(cluster, scope).await?;
    Ok(lines.into_lines(scope))
}

/// Everything in scope at one revision, and that revision.
pub(super) async fn read(cluster: &Cluster, scope: &Scope) -> Result<(Lines, i64), Failure> {
    let (first, end) = range(&cluster.config.namespace, scope);
    'anew: loop {
        let (mut lines, mut start, mut revision) = (Lines::default(), first.clone(), 0);
        loop {
            let page = GetOptions::new().with_range(end.clone()).with_limit(PAGE).with_revision(revision);
            let answer = cluster
                .call(cluster.config.attempt(), |link| {
                    let mut kv = link.kv.clone();
                    let (start, page) = (start.clone(), page.clone());
                    async move { kv.get(start, Some(page)).await }
                })
                .await
                .map_err(|failure| failure.about(&about(&cluster.config.namespace, scope)));
            let answer = match answer {
                // Compacted between two pages.
                Err(failure) if failure.verdict == Verdict::Compacted => continue 'anew,
                other => other?,
            };
            if revision == 0 {
                revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
            }
            for place in line::places(&answer) {
                lines.put(&cluster.config.namespace, scope, place);
            }
            match answer.kvs().last() {
                Some(last) if answer.more() => {
                    start = last.key().to_vec();
                    start.push(0);
                }
                _ => return Ok((lines, revision)),
            }
        }
    }
}

/// The range of keys that holds the scope; an end of one zero byte means up to the last key.
pub(super) fn range(namespace: &str, scope: &Scope) -> (Vec<u8>, Vec<u8>) {
    match scope {
        Scope::Key(key) => {
            let name = Name::new(namespace, key);
            (name.start().into(), name.end().into())
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

/// The scope as a person would name it.
fn about(namespace: &str, scope: &Scope) -> String {
    match scope {
        Scope::Key(key) => format!("{namespace}{key}/"),
        Scope::Prefix(prefix) => format!("{namespace}{prefix}*"),
    }
}

/// Deletes the entry that holds the lock, and no other: gives how many that were.
pub(super) async fn force_release(cluster: &Cluster, key: &Key) -> Result<usize, Error> {
    let name = Name::new(&cluster.config.namespace, key);
    let limit = cluster.config.attempt();
    let line = cluster
        .call(limit, |link| {
            let mut kv = link.kv.clone();
            let all = GetOptions::new()
                .with_range(name.end())
                .with_keys_only()
                .with_sort(SortTarget::Create, SortOrder::Ascend);
            let start = name.start();
            async move { kv.get(start, Some(all)).await }
        })
        .await
        .map_err(|failure| failure.about(name.start()))?;
    let Some(owner) = line::places(&line).into_iter().find(|place| name.holds(&place.key)) else { return Ok(0) };
    let owner_key = String::from_utf8_lossy(&owner.key).into_owned();
    let still_there = Compare::create_revision(owner_key.clone(), CompareOp::Equal, owner.created);
    let txn = line::delete(still_there, &owner_key);
    let sent = AtomicU32::new(0);
    let answer = cluster
        .call(limit, |link| {
            let mut kv = link.kv.clone();
            sent.fetch_add(1, Ordering::Relaxed);
            let txn = txn.clone();
            async move { kv.txn(txn).await }
        })
        .await
        .map_err(|failure| failure.about(name.start()))?;
    // If it was gone at the second attempt, the first one took it. Whoever holds the lock by now is another.
    Ok(usize::from(answer.succeeded() || sent.load(Ordering::Relaxed) > 1))
}

impl Lines {
    /// Takes note of a key; gives the lock that it stands under.
    pub(super) fn put(&mut self, namespace: &str, scope: &Scope, place: Place) -> Option<Key> {
        let lock = names::lock_of(&place.key, namespace).filter(|lock| scope.contains(lock.as_str()))?;
        self.0.entry(lock.clone()).or_default().insert((place.created, place.key.clone()), place);
        Some(lock)
    }

    /// Takes note that a key is gone; gives the lock that it stood under.
    pub(super) fn remove(&mut self, namespace: &str, key: &[u8]) -> Option<Key> {
        let lock = names::lock_of(key, namespace)?;
        let line = self.0.get_mut(&lock)?;
        line.retain(|(_, known), _| known != key);
        if line.is_empty() {
            self.0.remove(&lock);
        }
        Some(lock)
    }

    /// The key that holds `lock`.
    pub(super) fn owner(&self, scope: &Scope, lock: &Key) -> Option<&Place> {
        let line = self.0.get(lock)?;
        if is_a_lock(scope, line) { line.values().next() } else { None }
    }

    pub(super) fn locks(&self) -> impl Iterator<Item = &Key> {
        self.0.keys()
    }

    fn into_lines(self, scope: &Scope) -> Vec<Line> {
        let locks = self.0.into_iter().filter(|(_, line)| is_a_lock(scope, line));
        locks
            .map(|(lock, line)| {
                let mut holders: Vec<Holder> = line.values().map(Place::holder).collect();
                let waiters = holders.split_off(1.min(holders.len()));
                Line::new(lock, holders, waiters)
            })
            .collect()
    }
}

fn is_a_lock(scope: &Scope, line: &Standing) -> bool {
    matches!(scope, Scope::Key(_))
        || line
            .values()
            .any(|place| (place.lease != 0 && place.value.is_empty()) || Holder::from_json(&place.value).is_known())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(key: &str, created: i64, lease: i64, value: &[u8]) -> Place {
        Place { key: key.into(), value: value.to_vec(), created, modified: created, lease }
    }

    fn lines(scope: &Scope, places: &[Place]) -> Vec<Line> {
        let mut lines = Lines::default();
        for place in places {
            lines.put("ns", scope, place.clone());
        }
        lines.into_lines(scope)
    }

    #[test]
    fn a_line_is_in_order_of_creation_and_locks_in_order_of_their_keys() {
        let record = br#"{"v":1,"name":"us"}"#;
        let places = [
            place("ns/b/1", 3, 1, b""),
            place("ns/a/9", 2, 1, record),
            place("ns/a/1", 5, 1, b""),
            place("ns/a/b/1", 1, 1, b""),
        ];
        let found = lines(&Scope::Prefix(String::new()), &places);
        let keys: Vec<_> = found.iter().map(|line| line.key.as_str()).collect();
        assert_eq!(keys, ["/a", "/a/b", "/b"]);
        assert_eq!(found[0].holders[0].name, "us");
        assert_eq!(found[0].waiters.len(), 1);
        assert!(!found[0].waiters[0].is_known());
    }

    #[test]
    fn keys_that_only_have_a_slash_are_no_locks_unless_one_asks_for_that_name() {
        let places = [place("ns/config/port", 3, 0, b"80"), place("ns/services/web", 4, 9, b"10.0.0.1")];
        assert!(lines(&Scope::Prefix(String::new()), &places).is_empty());
        let line = lines(&Scope::Key(Key::new("/config").unwrap()), &places);
        assert!(line[0].holders[0].to_string().contains("etcdctl del ns/config/port"), "{line:?}");
    }

    #[test]
    fn a_key_without_a_lease_before_an_entry_is_the_holder() {
        let places = [place("ns/a/x", 2, 0, b"?"), place("ns/a/1", 5, 1, b"")];
        let found = lines(&Scope::Prefix("/a".into()), &places);
        assert!(found[0].holders[0].remark.as_deref().unwrap().contains("without a lease"));
    }

    #[test]
    fn a_scope_is_a_range() {
        assert_eq!(range("ns", &Scope::Prefix("/a".into())), (b"ns/a".to_vec(), b"ns/b".to_vec()));
        assert_eq!(range("", &Scope::Prefix(String::new())), (vec![0], vec![0]));
        assert_eq!(range("", &Scope::Key(Key::new("a").unwrap())), (b"a/".to_vec(), b"a0".to_vec()));
    }
}
