//! What failovers have forgotten, hold by hold: nothing else is excused, and nobody for longer than it lasted.
//!
//! The server that a failover leaves behind may serve on for a while. What it grants or prolongs then is forgotten too, but only
//! whoever has not learned of its successor may believe it.

use super::super::line::Hold;
use crate::network::Nanos;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Whoever hears that there was a failover asks where the primary is, and knows within this time.
const ASKS_WITHIN: Duration = Duration::from_millis(2500);
/// Whoever asks several waits for so many of them, and for so long.
const WAITS_FOR_OTHERS: Duration = Duration::from_millis(1700);

type Key = &'static str;

/// Holds that their holders may believe in although no primary has them.
#[derive(Debug, Default)]
pub(super) struct Forgotten {
    /// By lock and fence.
    holds: BTreeMap<(Key, u64), Lost>,
    /// Until when a replica has had a hold.
    replicated: BTreeMap<(usize, Key, u64), u64>,
    /// Until when a former primary has a hold.
    late: BTreeMap<(usize, Key, u64), u64>,
    /// By process and shard: the epochs that it knows, and from when on.
    known: BTreeMap<(usize, usize), Vec<(u64, Nanos)>>,
    /// By process, shard and epoch: the members or sentinels that have reported it.
    reported_by: BTreeMap<(usize, usize, u64), BTreeSet<usize>>,
}

/// In milliseconds of the servers.
#[derive(Clone, Copy, Debug)]
struct Lost {
    /// When it would have lapsed.
    until: u64,
    /// When it lapses on the successor; 0 if that never had it.
    lapses: u64,
}

/// The shard's primary that follows another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Succession {
    pub(super) shard: usize,
    pub(super) former: usize,
    pub(super) next: usize,
    pub(super) epoch: u64,
    /// What counts is on the replica.
    pub(super) waits: bool,
    pub(super) now: Nanos,
}

impl Forgotten {
    /// The replica has this now.
    pub(super) fn replicated(&mut self, replica: usize, key: Key, hold: &Hold) {
        let until = self.replicated.entry((replica, key, hold.fence)).or_default();
        *until = hold.until.max(*until);
    }

    /// The former primary has these holds of the lock at the moment at which another one takes its place, with these.
    pub(super) fn succeeded(&mut self, succession: &Succession, key: Key, former: &[Hold], next: &[Hold]) {
        for hold in former {
            self.late.insert((succession.former, key, hold.fence), hold.until);
            self.lose(succession, key, hold, next);
        }
    }

    /// The former primary has these holds now, although it was succeeded.
    pub(super) fn changed_late(&mut self, succession: &Succession, key: Key, former: &[Hold], next: &[Hold]) {
        for hold in former {
            let known = self.late.insert((succession.former, key, hold.fence), hold.until);
            let Some(process) = process_of(&hold.entry.name) else { continue };
            let is_new = known.is_none_or(|until| until < hold.until);
            if is_new && !self.knows(process, succession.shard, succession.epoch, succession.now) {
                self.lose(succession, key, hold, next);
            }
        }
    }

    fn lose(&mut self, succession: &Succession, key: Key, hold: &Hold, next: &[Hold]) {
        let there = next.iter().find(|other| other.fence == hold.fence).map(|other| other.until);
        let replicated = || self.replicated.get(&(succession.next, key, hold.fence)).copied();
        let lapses = match there.or_else(replicated) {
            Some(lapses) if lapses >= hold.until => return,
            Some(lapses) => lapses,
            // It was granted to nobody.
            None if succession.waits => return,
            None => 0,
        };
        self.holds.insert((key, hold.fence), Lost { until: hold.until, lapses });
    }

    /// The successor has these holds of the lock by now: those that were prolonged there are as good as any.
    pub(super) fn prolonged(&mut self, key: Key, holds: &[Hold]) {
        for hold in holds {
            if let Some(lost) = self.holds.get_mut(&(key, hold.fence)) {
                lost.lapses = lost.lapses.max(hold.until);
            }
        }
    }

    /// Whether the holder may believe in it at this moment of the servers.
    pub(super) fn excuses(&self, key: &str, fence: u64, now: u64) -> bool {
        let lost = self.holds.iter().find(|((lock, number), _)| *lock == key && *number == fence);
        lost.is_some_and(|(_, lost)| lost.lapses <= now && now <= lost.until)
    }

    /// The process knows from then on that the shard's primary is that of this epoch.
    pub(super) fn learned(&mut self, process: usize, shard: usize, epoch: u64, from: Nanos) {
        self.known.entry((process, shard)).or_default().push((epoch, from));
    }

    /// One of those that are asked has reported the epoch. When `enough` have, it is known soon.
    pub(super) fn reported(
        &mut self,
        process: usize,
        (shard, epoch): (usize, u64),
        (server, enough): (usize, usize),
        now: Nanos,
    ) {
        let servers = self.reported_by.entry((process, shard, epoch)).or_default();
        servers.insert(server);
        if servers.len() == enough {
            self.learned(process, shard, epoch, now + WAITS_FOR_OTHERS.as_nanos() as Nanos);
        }
    }

    /// A message reports a failover.
    pub(super) fn notified(&mut self, process: usize, epoch: u64, now: Nanos) {
        self.learned(process, 0, epoch, now + ASKS_WITHIN.as_nanos() as Nanos);
    }

    fn knows(&self, process: usize, shard: usize, epoch: u64, now: Nanos) -> bool {
        let known = self.known.get(&(process, shard)).map(Vec::as_slice).unwrap_or_default();
        known.iter().any(|(newer, from)| *newer >= epoch && *from <= now)
    }
}

/// The process in the name of a call.
fn process_of(name: &str) -> Option<usize> {
    name.strip_prefix('c')?.split('.').next()?.parse().ok()
}
