//! etcd's state machine: keys with revisions, leases, compaction, snapshots. Time is passed in.

use super::users::Users;
use crate::model::{QueuedEntry, State};
use crate::network::Nanos;
use etcd_client::proto::{PbKeyValue, PbResponseHeader};
use std::collections::{BTreeMap, BTreeSet};
use tonic::{Code, Status};

const SECOND: Nanos = 1_000_000_000;
/// etcd's shortest TTL with its default election timeout.
const SHORTEST_TTL: i64 = 2;

/// How versions differ, and in what state it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quirks {
    /// etcd 3.7: `keys_only` answers have no leases (etcd-io/etcd#22209).
    pub keys_only_without_lease: bool,
    /// From 3.5.28, 3.6.9 and 3.7: a lease is renewed only for who may write all of its keys.
    pub renewal_needs_rights: bool,
    /// The alarm NOSPACE: puts and grants are refused, all else goes on.
    pub no_space: bool,
    /// With elections that are quicker than by default, leases may be as short as a second.
    pub has_short_leases: bool,
}

/// A put, or a deletion: then the key has no version.
pub(super) type Change = PbKeyValue;

#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) ttl: i64,
    pub(super) until: Nanos,
    pub(super) keys: BTreeSet<Vec<u8>>,
}

pub(super) enum Renewed {
    For(i64),
    /// Over, and not revoked yet: etcd answers when it is.
    Over,
    Gone,
}

/// What a snapshot has.
#[derive(Clone, Debug, Default)]
pub(super) struct Data {
    pub(super) revision: i64,
    pub(super) compacted: i64,
    pub(super) keys: BTreeMap<Vec<u8>, PbKeyValue>,
    pub(super) leases: BTreeMap<i64, Lease>,
    pub(super) history: Vec<Change>,
}

/// The state machine.
#[derive(Debug)]
pub struct Machine {
    pub(super) data: Data,
    /// What is different about it.
    pub quirks: Quirks,
    pub(super) users: Users,
    pub(super) cluster: u64,
    /// How fast its clock goes, in thousandths.
    pace: u64,
    /// When strangers took entries, by key.
    disturbed: BTreeMap<Vec<u8>, Nanos>,
    went_back: Option<Nanos>,
    /// How often it went back.
    pub(super) generation: u64,
}

impl Machine {
    /// An empty one, whose clock goes so fast, in thousandths.
    #[must_use]
    pub fn new(pace: u64) -> Self {
        Self {
            data: Data { revision: 1, ..Data::default() },
            quirks: Quirks::default(),
            users: Users::default(),
            cluster: 1,
            pace,
            disturbed: BTreeMap::new(),
            went_back: None,
            generation: 0,
        }
    }

    /// The revision of the last change.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.data.revision
    }

    pub(super) fn header(&self) -> Option<PbResponseHeader> {
        self.header_at(self.data.revision)
    }

    pub(super) fn header_at(&self, revision: i64) -> Option<PbResponseHeader> {
        Some(PbResponseHeader { cluster_id: self.cluster, member_id: 1, revision, raft_term: 2 })
    }

    pub(super) fn put(&mut self, key: &[u8], value: &[u8], lease: i64, at: i64) {
        let old = self.data.keys.get(key);
        let kv = PbKeyValue {
            key: key.to_vec(),
            value: value.to_vec(),
            create_revision: old.map_or(at, |old| old.create_revision),
            mod_revision: at,
            version: old.map_or(1, |old| old.version + 1),
            lease,
        };
        if let Some(lease) = old.map(|old| old.lease).and_then(|lease| self.data.leases.get_mut(&lease)) {
            lease.keys.remove(key);
        }
        if let Some(lease) = self.data.leases.get_mut(&lease) {
            lease.keys.insert(key.to_vec());
        }
        self.data.history.push(kv.clone());
        self.data.keys.insert(key.to_vec(), kv);
    }

    pub(super) fn delete(&mut self, start: &[u8], end: &[u8], at: i64) -> i64 {
        let keys: Vec<Vec<u8>> = self.data.keys.keys().filter(|key| in_range(key, start, end)).cloned().collect();
        for key in &keys {
            let old = self.data.keys.remove(key);
            if let Some(lease) = old.and_then(|old| self.data.leases.get_mut(&old.lease)) {
                lease.keys.remove(key);
            }
            self.data.history.push(PbKeyValue { key: key.clone(), mod_revision: at, ..PbKeyValue::default() });
        }
        keys.len() as i64
    }

    fn until(&self, now: Nanos, ttl: i64) -> Nanos {
        now + ttl as u64 * SECOND / 1000 * self.pace
    }

    pub(super) fn grant(&mut self, now: Nanos, id: i64, ttl: i64) -> Result<i64, Status> {
        if self.quirks.no_space {
            return Err(no_space());
        }
        if self.data.leases.contains_key(&id) {
            return Err(Status::new(Code::FailedPrecondition, "etcdserver: lease already exists"));
        }
        let ttl = if self.quirks.has_short_leases { ttl } else { ttl.max(SHORTEST_TTL) };
        self.data.leases.insert(id, Lease { ttl, until: self.until(now, ttl), keys: BTreeSet::new() });
        Ok(ttl)
    }

    pub(super) fn renew(&mut self, now: Nanos, id: i64) -> Renewed {
        let Some(ttl) = self.data.leases.get(&id).map(|lease| lease.ttl) else { return Renewed::Gone };
        let until = self.until(now, ttl);
        match self.data.leases.get_mut(&id) {
            Some(lease) if lease.until > now => {
                lease.until = until;
                Renewed::For(ttl)
            }
            _ => Renewed::Over,
        }
    }

    pub(super) fn revoke(&mut self, id: i64) -> Result<(), Status> {
        let lease = self.data.leases.remove(&id).ok_or_else(no_lease)?;
        let at = self.data.revision + 1;
        let deleted: i64 = lease.keys.iter().map(|key| self.delete(key, &[], at)).sum();
        if deleted > 0 {
            self.data.revision = at;
        }
        Ok(())
    }

    pub(super) fn expired(&self, now: Nanos) -> Vec<i64> {
        self.data.leases.iter().filter(|(_, lease)| lease.until <= now).map(|(id, _)| *id).collect()
    }

    /// A new leader counts every lease anew.
    pub(super) fn new_leader(&mut self, now: Nanos) {
        let untils: Vec<_> = self.data.leases.values().map(|lease| self.until(now, lease.ttl)).collect();
        self.data.leases.values_mut().zip(untils).for_each(|(lease, until)| lease.until = until);
    }

    /// Forgets the history up to `revision`.
    pub(super) fn compact(&mut self, revision: i64) -> Result<(), Status> {
        if revision <= self.data.compacted {
            return Err(compacted());
        }
        if revision > self.data.revision {
            return Err(future());
        }
        self.data.compacted = revision;
        Ok(())
    }

    /// A stranger is about to take these keys.
    pub(super) fn disturb(&mut self, keys: &[Vec<u8>], now: Nanos) {
        for key in keys {
            self.disturbed.insert(key.clone(), now);
        }
    }

    /// An older snapshot is restored. Every lease is counted anew.
    pub(super) fn go_back(&mut self, snapshot: Data, now: Nanos) {
        self.data = snapshot;
        self.went_back = Some(now);
        self.generation += 1;
        self.new_leader(now);
    }
}

impl State for Machine {
    fn queue(&self, key: &str) -> Vec<QueuedEntry> {
        let mut entries: Vec<&PbKeyValue> = self.data.keys.values().filter(|kv| is_entry(&kv.key, key)).collect();
        entries.sort_by_key(|kv| kv.create_revision);
        let entry_of = |kv: &&PbKeyValue| QueuedEntry { id: text(&kv.key), name: name_in(&text(&kv.value)) };
        entries.iter().map(entry_of).collect()
    }

    fn everything(&self) -> Vec<String> {
        self.data.keys.keys().map(|key| text(key)).collect()
    }

    fn sessions(&self) -> usize {
        self.data.leases.len()
    }

    fn disturbed(&self, key: &str) -> Option<Nanos> {
        self.disturbed.iter().filter(|(taken, _)| is_entry(taken, key)).map(|(_, at)| *at).max()
    }

    fn went_back(&self) -> Option<Nanos> {
        self.went_back
    }
}

/// Whether it is an entry of this very lock, and not of one that is nested in it.
fn is_entry(name: &[u8], lock: &str) -> bool {
    let rest = name.strip_prefix(lock.as_bytes()).and_then(|rest| rest.strip_prefix(b"/"));
    rest.is_some_and(|rest| !rest.contains(&b'/'))
}

/// What a holder's record says its name is.
fn name_in(record: &str) -> String {
    let name = record.split_once("\"name\":\"").and_then(|(_, rest)| rest.split_once('"'));
    name.map_or_else(String::new, |(name, _)| name.to_owned())
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn in_range(key: &[u8], start: &[u8], end: &[u8]) -> bool {
    match end {
        [] => key == start,
        [0] => key >= start,
        _ => key >= start && key < end,
    }
}

pub(super) fn no_space() -> Status {
    Status::new(Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded")
}

pub(super) fn compacted() -> Status {
    Status::new(Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted")
}

pub(super) fn future() -> Status {
    Status::new(Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision")
}

pub(super) fn no_lease() -> Status {
    Status::new(Code::NotFound, "etcdserver: requested lease not found")
}
