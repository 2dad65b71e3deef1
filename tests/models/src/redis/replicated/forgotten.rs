//! What failovers have forgotten, hold by hold: nothing else is excused, and nobody for longer than it lasted.
//!
//! The server that a failover leaves behind may serve on for a while. What it grants or prolongs then is forgotten too, but only
//! whoever has not learned of its successor may believe it.

use super::super::line::Hold;
use crate::model::QueuedEntry;
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
    /// Holds of locks whose slots have moved since they were granted.
    moved: BTreeSet<(Key, u64)>,
    /// Entries that have left, which the successor does not know.
    returned: BTreeSet<String>,
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

    /// The slot of the lock begins to move: what replicas had of it says nothing any more.
    pub(super) fn moves(&mut self, key: Key) {
        self.replicated.retain(|(_, lock, _), _| *lock != key);
    }

    /// The slot of the lock has moved, with these holds.
    pub(super) fn moved(&mut self, key: Key, holds: &[Hold]) {
        self.moved.extend(holds.iter().map(|hold| (key, hold.fence)));
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
            // It was granted to nobody. Whoever moves a slot waits for no replica.
            None if succession.waits && !self.moved.contains(&(key, hold.fence)) => return,
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

    /// These entries are on the successor, and not on the former primary any more, whose waiters and holders these were.
    pub(super) fn returned<'a>(&mut self, former: &[QueuedEntry], next: &'a [QueuedEntry]) {
        let has_left = |entry: &&'a QueuedEntry| former.iter().all(|other| other.id != entry.id);
        self.returned.extend(next.iter().filter(has_left).map(|entry| entry.id.clone()));
    }

    pub(super) fn has_returned(&self, id: &str) -> bool {
        self.returned.contains(id)
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;
    const SUCCESSION: Succession = Succession { shard: 0, former: 0, next: 1, epoch: 2, waits: false, now: SECOND };

    /// Of the first process.
    fn hold(fence: u64, until: u64) -> Hold {
        Hold { entry: QueuedEntry { name: "c0.1".to_owned(), id: String::new() }, fence, until }
    }

    #[test]
    fn a_hold_is_excused_for_as_long_as_the_former_primary_has_it() {
        let mut forgotten = Forgotten::default();
        forgotten.succeeded(&SUCCESSION, "k", &[hold(7, 500)], &[]);
        assert!(forgotten.excuses("k", 7, 0) && forgotten.excuses("k", 7, 500));
        assert!(!forgotten.excuses("k", 7, 501) && !forgotten.excuses("k", 8, 0) && !forgotten.excuses("o", 7, 0));
    }

    #[test]
    fn what_a_replica_has_had_is_excused_only_once_it_has_lapsed_there() {
        let mut forgotten = Forgotten::default();
        forgotten.replicated(SUCCESSION.next, "k", &hold(7, 300));
        forgotten.replicated(SUCCESSION.former, "o", &hold(7, 500));
        forgotten.succeeded(&SUCCESSION, "k", &[hold(7, 500)], &[]);
        assert!(!forgotten.excuses("k", 7, 299) && forgotten.excuses("k", 7, 300));
        forgotten.prolonged("k", &[hold(7, 400)]);
        assert!(!forgotten.excuses("k", 7, 399) && forgotten.excuses("k", 7, 400));
        // Of another replica it is no matter.
        forgotten.succeeded(&SUCCESSION, "o", &[hold(7, 500)], &[]);
        assert!(forgotten.excuses("o", 7, 0));
    }

    #[test]
    fn what_a_former_primary_grants_is_excused_of_whoever_does_not_know_its_successor() {
        let late = |forgotten: &mut Forgotten, fence, until, now| {
            let succession = Succession { now, ..SUCCESSION };
            forgotten.changed_late(&succession, "k", &[hold(fence, until)], &[]);
            forgotten.excuses("k", fence, until)
        };
        let mut forgotten = Forgotten::default();
        // Neither what another process knows, nor what is known of another shard, nor of a primary before.
        forgotten.learned(1, 0, 2, 0);
        forgotten.learned(0, 1, 2, 0);
        forgotten.learned(0, 0, 1, 0);
        assert!(late(&mut forgotten, 7, 500, SECOND));
        forgotten.learned(0, 0, 2, 2 * SECOND);
        assert!(late(&mut forgotten, 7, 600, SECOND));
        assert!(!late(&mut forgotten, 7, 700, 2 * SECOND));
        assert!(!late(&mut forgotten, 8, 700, 2 * SECOND));
    }

    #[test]
    fn a_process_knows_what_enough_have_reported() {
        let mut forgotten = Forgotten::default();
        let knows = |forgotten: &Forgotten, now| forgotten.knows(0, 0, 2, now);
        for server in [0, 0, 1] {
            assert!(!knows(&forgotten, 100 * SECOND));
            forgotten.reported(0, (0, 2), (server, 2), 0);
        }
        assert!(!knows(&forgotten, SECOND) && knows(&forgotten, 2 * SECOND));
    }

    #[test]
    fn what_the_successor_has_beyond_the_former_primary_had_left() {
        let entry = |id: &str| QueuedEntry { id: id.to_owned(), name: String::new() };
        let mut forgotten = Forgotten::default();
        forgotten.returned(&[entry("1")], &[entry("1"), entry("2")]);
        assert!(forgotten.has_returned("2") && !forgotten.has_returned("1"));
    }

    /// A grant counts when a replica has it; where its slot moves to, nobody waits for that.
    #[test]
    fn of_what_waits_for_replicas_only_a_hold_that_has_moved_is_excused() {
        let succession = Succession { waits: true, ..SUCCESSION };
        let mut forgotten = Forgotten::default();
        forgotten.succeeded(&succession, "k", &[hold(7, 500)], &[]);
        assert!(!forgotten.excuses("k", 7, 0));
        forgotten.replicated(succession.next, "k", &hold(7, 500));
        // To another shard, and back.
        forgotten.moves("k");
        forgotten.moved("k", &[hold(7, 500)]);
        forgotten.succeeded(&succession, "k", &[hold(7, 500), hold(8, 500)], &[]);
        assert!(forgotten.excuses("k", 7, 0) && !forgotten.excuses("k", 8, 0));
    }
}
