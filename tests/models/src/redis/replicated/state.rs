//! All servers, as somebody sees them who looks from outside.

use super::super::keyspace::{Bytes, Keyspace};
use super::super::line::{self, Hold, Line};
use super::super::placement::{Claim, Placement, View};
use super::super::reply::Reply;
use super::super::server::Server;
use super::super::slot::slot;
use super::super::state::{BEGIN, with_faults};
use super::Setup;
use super::forgotten::{Forgotten, Succession};
use super::sentinel::Sentinel;
use crate::model::{QueuedEntry, State};
use crate::network::Nanos;
use crate::plan::KEYS;
use std::collections::BTreeSet;

/// The servers.
#[expect(missing_debug_implementations, reason = "scripts are functions")]
pub struct ReplicatedState {
    pub(super) members: Vec<Member>,
    pub(super) sentinels: Vec<Sentinel>,
    /// What is so, whoever has heard of it.
    pub(super) truth: View,
    pub(super) forgotten: Forgotten,
    /// The slot that is on its way, and to which member.
    pub(super) moving: Option<(u16, usize)>,
    /// Something changes the servers, which may not meet another change.
    pub(super) is_changing: bool,
    pub(super) setup: Setup,
    pace: u64,
    now: Nanos,
}

/// A server, and whose replica it is.
pub(super) struct Member {
    pub(super) server: Server,
    pub(super) follows: Option<usize>,
    /// How many of its primary's writes it has acknowledged.
    received: u64,
    /// How often it was cut off or began to follow: what it was sent before that is too late.
    syncs: u64,
    /// Nothing comes from its primary.
    is_cut: bool,
    /// How many writes others have been sent.
    sent: u64,
}

impl ReplicatedState {
    pub(super) fn new(setup: &Setup, pace: u64) -> Self {
        let shards = setup.shards();
        let view = View::new(shards);
        let member = |own: usize| {
            let mut server = Server::new();
            server.modes.is_cluster = !setup.has_sentinels;
            server.modes.is_replica = own >= shards;
            server.placement = (!setup.has_sentinels).then(|| Placement {
                own,
                view: view.clone(),
                migrating: [].into(),
                importing: BTreeSet::new(),
                is_down: false,
                is_strict: setup.is_strict,
            });
            Member { server, follows: own.checked_sub(shards), received: 0, syncs: 0, is_cut: false, sent: 0 }
        };
        let sentinels = if setup.has_sentinels { super::SENTINELS } else { 0 };
        let mut state = Self {
            members: (0..shards * 2).map(member).collect(),
            sentinels: (0..sentinels).map(|_| Sentinel::new(view.epoch())).collect(),
            truth: view,
            forgotten: Forgotten::default(),
            moving: None,
            is_changing: false,
            setup: *setup,
            pace,
            now: 0,
        };
        state.at(0);
        state
    }

    /// From now on it is `now` in the simulation.
    pub(super) fn at(&mut self, now: Nanos) {
        self.now = now;
        let passed = u64::try_from(u128::from(now) * u128::from(self.pace) / 1_000_000).unwrap_or(u64::MAX);
        self.members.iter_mut().for_each(|member| member.server.at(BEGIN + passed));
    }

    /// How long until something expires by itself, in milliseconds of the simulation.
    pub(super) fn expires_in(&self) -> Option<u64> {
        let next = self.members.iter().filter_map(|member| member.server.keys.next_expiry()).min()?;
        Some((next.saturating_sub(self.clock()) * 1000 / self.pace).max(1))
    }

    fn clock(&self) -> u64 {
        self.members[0].server.now()
    }

    pub(super) fn writes(&self) -> u64 {
        self.members.iter().map(|member| member.server.writes).sum()
    }

    /// The shard of a member.
    pub(super) fn shard_of(&self, member: usize) -> usize {
        member % self.setup.shards()
    }

    /// Whether it takes writes although another one has its place.
    fn is_former(&self, member: usize) -> bool {
        self.members[member].follows.is_none() && self.truth.primary(self.shard_of(member)) != member
    }

    /// Answers a request of a process.
    pub(super) fn answer(&mut self, member: usize, connection: u64, request: &[Bytes]) -> Reply {
        let before = self.members[member].server.writes;
        let left_by = if self.is_former(member) { self.queues(member) } else { Vec::new() };
        let reply = self.members[member].server.answer(connection, &with_faults(self.setup.broken, request));
        if self.members[member].server.writes != before {
            self.written(member);
            self.left_late(member, &left_by);
        }
        reply
    }

    /// The queues of all locks, as a member has them.
    fn queues(&self, member: usize) -> Vec<QueuedEntry> {
        KEYS.into_iter().flat_map(|key| self.queue_at(member, key)).collect()
    }

    fn queue_at(&self, member: usize, key: &str) -> Vec<QueuedEntry> {
        Line { places: vec![&self.members[member].server.keys], now: self.clock() }.queue(key)
    }

    /// What was there before, and has left a former primary meanwhile, is still on its successor.
    fn left_late(&mut self, former: usize, before: &[QueuedEntry]) {
        let after = self.queues(former);
        let has_left = |entry: &&QueuedEntry| after.iter().all(|other| other.id != entry.id);
        let left: Vec<QueuedEntry> = before.iter().filter(has_left).cloned().collect();
        self.forgotten.returned(&[], &left);
    }

    fn written(&mut self, member: usize) {
        let shard = self.shard_of(member);
        let next = self.truth.primary(shard);
        let is_late = self.is_former(member);
        let succession = self.succession(member, next);
        for key in self.keys_of(shard) {
            let (own, others) = (self.holds(member, key), self.holds(next, key));
            if is_late {
                self.forgotten.changed_late(&succession, key, &own, &others);
            } else {
                self.forgotten.prolonged(key, &own);
            }
        }
    }

    fn succession(&self, former: usize, next: usize) -> Succession {
        let shard = self.shard_of(former);
        let epoch = self.truth.since(shard);
        Succession { shard, former, next, epoch, waits: self.setup.waits, now: self.now }
    }

    /// The locks of a shard.
    fn keys_of(&self, shard: usize) -> Vec<&'static str> {
        KEYS.into_iter().filter(|key| self.truth.shard(slot(key.as_bytes())) == shard).collect()
    }

    pub(super) fn holds(&self, member: usize, key: &str) -> Vec<Hold> {
        Line { places: vec![&self.members[member].server.keys], now: self.clock() }.holds(key)
    }

    /// What replicas have not been sent yet: of each its number, its `syncs`, after how many writes, and all keys.
    pub(super) fn unsent(&mut self) -> Vec<(usize, u64, u64, Keyspace)> {
        let mut unsent = Vec::new();
        for primary in 0..self.members.len() {
            let writes = self.members[primary].server.writes;
            if std::mem::replace(&mut self.members[primary].sent, writes) == writes {
                continue;
            }
            for (number, replica) in self.members.iter().enumerate() {
                if replica.follows == Some(primary) && !replica.is_cut {
                    let keys = self.members[primary].server.keys.clone();
                    unsent.push((number, replica.syncs, writes, keys));
                }
            }
        }
        unsent
    }

    /// A replica gets what its primary had after so many writes.
    pub(super) fn receive(&mut self, number: usize, syncs: u64, writes: u64, keys: Keyspace) {
        let replica = &mut self.members[number];
        if replica.syncs != syncs || replica.received >= writes || replica.follows.is_none() {
            return;
        }
        replica.received = writes;
        replica.server.replace_keys(keys);
        self.note_replicated(number);
    }

    /// Notes which holds a replica has.
    pub(super) fn note_replicated(&mut self, number: usize) {
        for key in self.keys_of(self.shard_of(number)) {
            let holds = self.holds(number, key);
            holds.iter().for_each(|hold| self.forgotten.replicated(number, key, hold));
        }
    }

    /// How many replicas have acknowledged what this connection has written; `None` of a replica.
    pub(super) fn acknowledged(&self, member: usize, connection: u64) -> Option<usize> {
        let Member { server, follows, .. } = &self.members[member];
        let written = server.written(connection);
        let has = |replica: &&Member| replica.follows == Some(member) && replica.received >= written;
        follows.is_none().then(|| self.members.iter().filter(has).count())
    }

    /// The replica of a shard receives nothing from now on. Returns the primary.
    pub(super) fn cut_replica(&mut self, shard: usize) -> usize {
        let primary = self.truth.primary(shard);
        for replica in self.members.iter_mut().filter(|member| member.follows == Some(primary)) {
            replica.syncs += 1;
            replica.is_cut = true;
        }
        primary
    }

    /// The replica that was cut off from this primary receives everything.
    pub(super) fn connect_replica(&mut self, shard: usize, primary: usize) {
        let replica = (primary + self.setup.shards()) % self.members.len();
        if self.truth.primary(shard) == primary {
            self.follow(replica, primary);
        }
    }

    /// The replica of a shard takes the place of its primary.
    pub(super) fn promote(&mut self, shard: usize) -> Claim {
        let former = self.truth.primary(shard);
        let next = (former + self.setup.shards()) % self.members.len();
        let claim = Claim::Primary { shard, member: next, epoch: self.truth.epoch() + 1 };
        self.truth.learn(claim);
        let succession = self.succession(former, next);
        for key in self.keys_of(shard) {
            let (before, after) = (self.holds(former, key), self.holds(next, key));
            self.forgotten.succeeded(&succession, key, &before, &after);
            let (before, after) = (self.queue_at(former, key), self.queue_at(next, key));
            self.forgotten.returned(&before, &after);
        }
        let is_elsewhere = |name: &&Bytes| self.truth.shard(slot(name)) != shard;
        let mut keys = self.members[next].server.keys.clone();
        let elsewhere: Vec<Bytes> = keys.iter().map(|(name, _)| name).filter(is_elsewhere).cloned().collect();
        elsewhere.iter().for_each(|name| drop(keys.take(name)));
        let member = &mut self.members[next];
        (member.follows, member.syncs, member.is_cut) = (None, member.syncs + 1, false);
        member.server.modes.is_replica = false;
        member.server.replace_keys(keys);
        self.learn(next, claim);
        claim
    }

    /// A member hears of something. Returns whether it has become a replica by that.
    pub(super) fn learn(&mut self, number: usize, claim: Claim) -> bool {
        let own = self.shard_of(number);
        let server = &mut self.members[number].server;
        if let Some(placement) = &mut server.placement {
            let before = placement.view.clone();
            if !placement.view.learn(claim) {
                return false;
            }
            placement.is_down = false;
            if let Claim::Slot { slot, shard, .. } = claim {
                placement.migrating.remove(&slot);
                placement.importing.remove(&slot);
                if before.shard(slot) == own && shard != own {
                    server.unsubscribe(slot);
                }
            }
        }
        match claim {
            Claim::Primary { shard, member, .. } if shard == own && member != number => {
                self.follow(number, member);
                true
            }
            _ => false,
        }
    }

    /// The member becomes, or is once more, a replica of this primary, and gets all its data.
    fn follow(&mut self, number: usize, primary: usize) {
        let (keys, writes) = (self.members[primary].server.keys.clone(), self.members[primary].server.writes);
        let member = &mut self.members[number];
        (member.follows, member.received, member.syncs) = (Some(primary), writes, member.syncs + 1);
        member.is_cut = false;
        member.server.modes.is_replica = true;
        member.server.replace_keys(keys);
        self.note_replicated(number);
    }

    /// Those that follow this primary.
    pub(super) fn replicas_of(&self, primary: usize) -> impl Iterator<Item = usize> {
        let follows = move |replica: &usize| self.members[*replica].follows == Some(primary);
        (0..self.members.len()).filter(follows)
    }

    fn line(&self, key: &str) -> Line<'_> {
        let own = slot(key.as_bytes());
        let primary = self.truth.primary(self.truth.shard(own));
        let other = self.moving.filter(|(slot, _)| *slot == own).map(|(_, to)| to);
        let places = std::iter::once(primary).chain(other).map(|member| &self.members[member].server.keys);
        Line { places: places.collect(), now: self.clock() }
    }
}

impl State for ReplicatedState {
    fn queue(&self, key: &str) -> Vec<QueuedEntry> {
        self.line(key).queue(key)
    }

    fn everything(&self) -> Vec<String> {
        let primaries = (0..self.setup.shards()).map(|shard| &self.members[self.truth.primary(shard)]);
        primaries.flat_map(|member| line::names(&member.server.keys)).collect()
    }

    fn sessions(&self) -> usize {
        0
    }

    fn disturbed(&self, _: &str) -> Option<Nanos> {
        None
    }

    fn went_back(&self) -> Option<Nanos> {
        None
    }

    fn has_returned(&self, id: &str) -> bool {
        self.forgotten.has_returned(id)
    }

    fn has_forgotten(&self, key: &str, fence: u64) -> bool {
        self.forgotten.excuses(key, fence, self.clock())
    }
}
