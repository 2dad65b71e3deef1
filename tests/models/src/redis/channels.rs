//! Connections, and what is published to those that are subscribed.

use super::keyspace::Bytes;
use super::modes::Modes;
use super::reply::Reply;
use super::slot::slot;
use std::collections::{BTreeMap, BTreeSet};

/// What the server knows of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Connection {
    pub(super) is_resp3: bool,
    pub(super) is_known: bool,
    /// Its next request is about a slot that is on its way here.
    pub(super) is_asking: bool,
    /// How often the keys had been written to when it wrote last.
    pub(super) written: u64,
    pub(super) channels: BTreeSet<Bytes>,
}

pub(super) type Connections = BTreeMap<u64, Connection>;

/// What was published on this server, and goes to others too.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) channel: Bytes,
    pub(super) message: Bytes,
}

/// A channel of a shard has a slot, and a tag for it.
pub(super) fn is_of_shard(channel: &[u8]) -> bool {
    channel.starts_with(b"{")
}

/// Sends a message to whoever is subscribed here.
pub(super) fn publish(
    modes: &Modes,
    connections: &Connections,
    messages: &mut Vec<(u64, Reply)>,
    channel: &[u8],
    message: &[u8],
) -> Reply {
    if !modes.rights.publish {
        return Reply::error(
            "NOPERM ACL failure in script: User default has no permissions to run the 'publish' command",
        );
    }
    Reply::Int(deliver(connections, messages, channel, message))
}

/// The same, of what was published elsewhere. Returns to how many.
pub(super) fn deliver(
    connections: &Connections,
    messages: &mut Vec<(u64, Reply)>,
    channel: &[u8],
    message: &[u8],
) -> i64 {
    let subscribers = connections.iter().filter(|(_, known)| known.channels.contains(channel));
    let kind = if is_of_shard(channel) { "smessage" } else { "message" };
    let push = || Reply::Push(vec![Reply::text(kind), Reply::text(channel), Reply::text(message)]);
    let before = messages.len();
    messages.extend(subscribers.map(|(connection, _)| (*connection, push())));
    i64::try_from(messages.len() - before).unwrap_or(0)
}

/// Nobody is subscribed any more to channels in this slot, which has moved to another shard.
pub(super) fn unsubscribe(connections: &mut Connections, messages: &mut Vec<(u64, Reply)>, from: u16) {
    for (id, known) in connections {
        let gone: Vec<Bytes> =
            known.channels.iter().filter(|channel| is_of_shard(channel) && slot(channel) == from).cloned().collect();
        for channel in gone {
            known.channels.remove(&channel);
            let count = i64::try_from(known.channels.len()).unwrap_or(0);
            messages
                .push((*id, Reply::Push(vec![Reply::text("sunsubscribe"), Reply::text(channel), Reply::Int(count)])));
        }
    }
}
