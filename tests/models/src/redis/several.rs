//! What a server does that is one of several.

use super::channels::{self, Published};
use super::keyspace::{Bytes, Keyspace, Stored};
use super::server::Server;

impl Server {
    /// How often the keys had been written to when this connection wrote last.
    pub(super) fn written(&self, connection: u64) -> u64 {
        self.connections.get(&connection).map_or(0, |known| known.written)
    }

    /// It gets all keys of another server.
    pub(super) fn replace_keys(&mut self, keys: Keyspace) {
        self.keys = keys;
        self.keys.at(self.now());
        self.note_written();
    }

    /// Takes a key out, which goes to another member.
    pub(super) fn migrate_out(&mut self, key: &[u8]) -> Option<Stored> {
        let stored = self.keys.take(key)?;
        self.note_written();
        Some(stored)
    }

    /// Takes a key in, which comes from another member.
    pub(super) fn migrate_in(&mut self, key: &Bytes, stored: Stored) {
        self.keys.put(key.clone(), stored);
        self.note_written();
    }

    fn note_written(&mut self) {
        self.writes += 1;
        self.remember();
    }

    /// Delivers what was published on another member.
    pub(super) fn deliver(&mut self, Published { channel, message }: &Published) {
        channels::deliver(&self.connections, &mut self.messages, channel, message);
    }

    /// A slot has moved to another shard, with the channels in it.
    pub(super) fn unsubscribe(&mut self, slot: u16) {
        channels::unsubscribe(&mut self.connections, &mut self.messages, slot);
    }
}
