//! A slot on its way from one member to another.

use super::super::keyspace::Bytes;
use super::super::placement::Claim;
use super::super::slot::slot as slot_of;
use super::state::ReplicatedState;
use crate::plan::KEYS;

impl ReplicatedState {
    /// The slot is going to move. Returns from which member, to which, and to which shard.
    pub(super) fn begin_to_import(&mut self, slot: u16) -> (usize, usize, usize) {
        let from = self.truth.shard(slot);
        let to = (from + 1) % self.setup.shards();
        let (source, target) = (self.truth.primary(from), self.truth.primary(to));
        keys_in(slot).for_each(|key| self.forgotten.moves(key));
        if let Some(placement) = &mut self.members[target].server.placement {
            placement.importing.insert(slot);
        }
        (source, target, to)
    }

    /// Keys of the slot that are not there are looked for at the other member.
    pub(super) fn begin_to_migrate(&mut self, slot: u16, from: usize, to: usize) {
        if let Some(placement) = &mut self.members[from].server.placement {
            placement.migrating.insert(slot, to);
        }
        self.moving = Some((slot, to));
    }

    /// The keys of the slot that can be moved: those that are not there already, or all.
    pub(super) fn movable(&self, slot: u16, from: usize, to: usize, replaces: bool) -> Vec<Bytes> {
        let there = &self.members[to].server.keys;
        let names = self.members[from].server.keys.iter().map(|(name, _)| name);
        let can_move = |name: &&Bytes| slot_of(name) == slot && (replaces || there.value(name).is_none());
        names.filter(can_move).cloned().collect()
    }

    /// Moves one key.
    pub(super) fn move_key(&mut self, from: usize, to: usize, name: &Bytes, replaces: bool) {
        if (replaces || self.members[to].server.keys.value(name).is_none())
            && let Some(stored) = self.members[from].server.migrate_out(name)
        {
            self.members[to].server.migrate_in(name, stored);
        }
    }

    /// All keys have moved, and so has the slot.
    pub(super) fn end_move(&mut self, slot: u16, shard: usize, to: usize) -> Claim {
        let claim = Claim::Slot { slot, shard, epoch: self.truth.epoch() + 1 };
        self.truth.learn(claim);
        self.moving = None;
        for key in keys_in(slot) {
            let holds = self.holds(to, key);
            self.forgotten.moved(key, &holds);
        }
        let replicas: Vec<usize> = self.replicas_of(to).collect();
        replicas.into_iter().for_each(|replica| self.note_replicated(replica));
        self.learn(to, claim);
        claim
    }
}

/// The locks whose slot this is.
fn keys_in(slot: u16) -> impl Iterator<Item = &'static str> {
    KEYS.into_iter().filter(move |key| slot_of(key.as_bytes()) == slot)
}
