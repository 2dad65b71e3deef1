//! What a member of a cluster believes of the slots, and where it sends requests by that.

use super::keyspace::{Bytes, Keyspace};
use super::reply::Reply;
use super::slot::slot;
use std::collections::{BTreeMap, BTreeSet};

const SLOTS: usize = 16_384;

/// What changes in a cluster. What has the greater epoch counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// This member is the shard's primary.
    Primary {
        /// The shard.
        shard: usize,
        /// The member.
        member: usize,
        /// Since when.
        epoch: u64,
    },
    /// The shard has this slot.
    Slot {
        /// The slot.
        slot: u16,
        /// The shard.
        shard: usize,
        /// Since when.
        epoch: u64,
    },
}

/// Which member has which slots, as far as somebody has heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The primary of each shard, and since which epoch.
    primaries: Vec<(usize, u64)>,
    /// The shards of slots that are not where they were, and since which epoch.
    moved: BTreeMap<u16, (usize, u64)>,
}

impl View {
    /// Of so many shards, of which each has as many slots, and the member with its own number as the primary.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        let epoch = |shard: usize| shard as u64 + 1;
        Self { primaries: (0..shards).map(|shard| (shard, epoch(shard))).collect(), moved: BTreeMap::new() }
    }

    /// The shard of a slot.
    #[must_use]
    pub fn shard(&self, slot: u16) -> usize {
        let own = usize::from(slot) * self.primaries.len() / SLOTS;
        self.moved.get(&slot).map_or(own, |(shard, _)| *shard)
    }

    /// The primary of a shard.
    #[must_use]
    pub fn primary(&self, shard: usize) -> usize {
        self.primaries[shard].0
    }

    /// Since which epoch it is.
    #[must_use]
    pub fn since(&self, shard: usize) -> u64 {
        self.primaries[shard].1
    }

    /// The shard whose primary this is.
    #[must_use]
    pub fn shard_of(&self, member: usize) -> Option<usize> {
        self.primaries.iter().position(|(primary, _)| *primary == member)
    }

    /// The greatest epoch that was heard of.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.primaries.iter().chain(self.moved.values()).map(|(_, epoch)| *epoch).max().unwrap_or(0)
    }

    /// Returns whether it is newer than what was known.
    pub fn learn(&mut self, claim: Claim) -> bool {
        let (known, new) = match claim {
            Claim::Primary { shard, member, epoch } => (&mut self.primaries[shard], (member, epoch)),
            Claim::Slot { slot, shard, epoch } => (self.moved.entry(slot).or_insert((shard, 0)), (shard, epoch)),
        };
        let is_newer = known.1 < new.1;
        if is_newer {
            *known = new;
        }
        is_newer
    }

    /// As `CLUSTER SLOTS` shows it, without replicas.
    fn ranges(&self) -> Reply {
        let mut ranges: Vec<(u16, u16, usize)> = Vec::new();
        for slot in 0..SLOTS as u16 {
            let member = self.primary(self.shard(slot));
            match ranges.last_mut() {
                Some((_, to, last)) if *last == member => *to = slot,
                _ => ranges.push((slot, slot, member)),
            }
        }
        let node = |member: usize| {
            Reply::Array(vec![
                Reply::text(host(member)),
                Reply::Int(PORT),
                Reply::text(format!("{member:040}")),
                Reply::Array(Vec::new()),
            ])
        };
        let range = |(from, to, member): (u16, u16, usize)| {
            Reply::Array(vec![Reply::Int(from.into()), Reply::Int(to.into()), node(member)])
        };
        Reply::Array(ranges.into_iter().map(range).collect())
    }
}

/// The port of every server.
pub(super) const PORT: i64 = 6379;

/// What a server is called.
pub(super) fn host(member: usize) -> String {
    format!("r{member}")
}

/// Where a member of a cluster is.
#[derive(Clone, Debug)]
pub struct Placement {
    /// Its number.
    pub own: usize,
    /// What it believes.
    pub view: View,
    /// Slots that are on their way from here, and to which member.
    pub migrating: BTreeMap<u16, usize>,
    /// Slots that are on their way to here.
    pub importing: BTreeSet<u16>,
    /// It cannot see most of the others.
    pub is_down: bool,
    /// Where some of the keys of a request have left, it says so and sends it nowhere: since 7.0.
    pub is_strict: bool,
}

/// Why a request is not served here.
enum Elsewhere {
    CrossSlot,
    Down,
    Unstable,
    Ask(u16, usize),
    Moved(u16, usize),
}

impl Placement {
    /// The answer to a request for these keys, or to this channel of a shard, that is not served here.
    pub(super) fn refuse(&self, stored: &Keyspace, keys: &[Bytes], is_asking: bool, is_channel: bool) -> Option<Reply> {
        let redirection = |how, slot, member| Reply::error(format!("{how} {slot} {}:{PORT}", host(member)));
        Some(match self.elsewhere(stored, keys, is_asking, is_channel)? {
            Elsewhere::CrossSlot => Reply::error("CROSSSLOT Keys in request don't hash to the same slot"),
            Elsewhere::Down => Reply::error("CLUSTERDOWN The cluster is down"),
            Elsewhere::Unstable => Reply::error("TRYAGAIN Multiple keys request during rehashing of slot"),
            Elsewhere::Ask(slot, member) => redirection("ASK", slot, member),
            Elsewhere::Moved(slot, member) => redirection("MOVED", slot, member),
        })
    }

    /// The same of a command in a script.
    pub(super) fn refuse_in_script(
        &self,
        stored: &Keyspace,
        keys: &[Bytes],
        is_asking: bool,
        is_channel: bool,
    ) -> Option<Reply> {
        Some(Reply::error(match self.elsewhere(stored, keys, is_asking, is_channel)? {
            Elsewhere::CrossSlot => "ERR Script attempted to access keys that do not hash to the same slot",
            Elsewhere::Down => "ERR Script attempted to execute a command while the cluster is down",
            _ => "ERR Script attempted to access a non local key in a cluster node",
        }))
    }

    /// As Redis decides it.
    fn elsewhere(&self, stored: &Keyspace, keys: &[Bytes], is_asking: bool, is_channel: bool) -> Option<Elsewhere> {
        let slot = slot(keys.first()?);
        if keys.iter().any(|key| super::slot::slot(key) != slot) {
            return Some(Elsewhere::CrossSlot);
        }
        if self.is_down {
            return Some(Elsewhere::Down);
        }
        let primary = self.view.primary(self.view.shard(slot));
        let missing = if is_channel { 0 } else { keys.iter().filter(|key| stored.value(key).is_none()).count() };
        if primary == self.own
            && missing > 0
            && let Some(to) = self.migrating.get(&slot)
        {
            let is_divided = self.is_strict && missing < keys.len();
            return Some(if is_divided { Elsewhere::Unstable } else { Elsewhere::Ask(slot, *to) });
        }
        if primary != self.own && is_asking && self.importing.contains(&slot) {
            let are_several = keys.iter().any(|key| key != &keys[0]);
            return (are_several && missing > 0).then_some(Elsewhere::Unstable);
        }
        // A replica takes subscribers.
        (primary != self.own && !(is_channel && self.is_replica_of(primary))).then_some(Elsewhere::Moved(slot, primary))
    }

    fn is_replica_of(&self, primary: usize) -> bool {
        self.view.shard_of(self.own).is_none() && self.view.shard_of(primary) == Some(self.shard())
    }

    /// Its shard: the replica of each has the number after those of all primaries.
    fn shard(&self) -> usize {
        self.own % self.view.primaries.len()
    }

    /// The answers to `CLUSTER SLOTS` and `CLUSTER INFO`.
    pub(super) fn shown(&self, question: &[u8]) -> Reply {
        if question.eq_ignore_ascii_case(b"SLOTS") {
            return self.view.ranges();
        }
        let state = if self.is_down { "fail" } else { "ok" };
        Reply::text(format!("cluster_state:{state}\r\ncluster_current_epoch:{}\r\n", self.view.epoch()))
    }
}
