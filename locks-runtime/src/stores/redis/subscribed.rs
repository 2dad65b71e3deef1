//! The connections of the [subscription](super::subscription): one to each shard, because the server closes that of a subscriber
//! that falls behind.
//!
//! In a cluster what a shard publishes stays within it, on channels in a slot of its own, if the servers know how to (7.0). What
//! nobody receives so is published to the whole cluster, and comes by the connection to the first shard.

use super::client::Client;
use super::error::{self, Verdict};
use super::names;
use super::node::Node;
use super::reply;
use super::slots;
use super::subscription::{Delivers, Source, Subscription};
use super::topology::Shard;
use crate::values::shown::Chain;
use crate::values::target::TARGET;
use redis::aio::MultiplexedConnection;
use redis::{ProtocolVersion, PushInfo, PushKind, RedisError};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// The server answers a ping within a request's time, or the connection is dead.
const PING_EVERY: Duration = Duration::from_secs(10);
const RECONNECT_AFTER: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(500));
/// As [`RECONNECT_AFTER`], of a user who may not subscribe: the right may be given later.
const REFUSED_AGAIN_AFTER: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(15));
/// How often the members of a cluster are asked who is one.
const MEMBERS_EVERY: (Duration, Duration) = (Duration::from_secs(8), Duration::from_secs(12));

/// A channel, by the names that it has.
struct Channel {
    plain: String,
    /// Within a shard.
    sharded: Option<String>,
}

impl Channel {
    fn new(client: &Client, source: &Source, name: impl Fn(&str) -> String) -> Self {
        let plain = name(&client.channel_prefix());
        let of = |marker| slots::prefix(&client.config.namespace, marker);
        Self { sharded: source.marker.map(|marker| format!("{}{plain}", of(marker))), plain }
    }

    fn is(&self, name: &[u8]) -> bool {
        name == self.plain.as_bytes() || self.sharded.as_ref().is_some_and(|sharded| sharded.as_bytes() == name)
    }

    async fn subscribe(&self, source: &Source, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        if let Some(sharded) = &self.sharded {
            let subscribed = redis::cmd("SSUBSCRIBE").arg(sharded).exec_async(connection).await;
            // An earlier version has plain channels only, and so has a user without a right to these.
            let has_none =
                |error: &RedisError| matches!(error::judge(error), Verdict::Unsupported | Verdict::Unauthorized);
            subscribed.or_else(|error| if has_none(&error) { Ok(()) } else { Err(error) })?;
        }
        if source.is_first { connection.subscribe(&self.plain).await } else { Ok(()) }
    }
}

/// Subscribes, unless that has begun.
pub(super) fn start(subscription: &Arc<Subscription>) {
    if !subscription.begin() {
        subscription.client.world.spawn(run(Arc::downgrade(subscription), subscription.wants_changes.subscribe()));
    }
}

/// Keeps up the subscription for as long as the client lives.
async fn run(subscription: Weak<Subscription>, mut wants_changes: watch::Receiver<bool>) {
    let Some(mut members) = subscription.upgrade().map(|current| current.client.map.changes()) else { return };
    loop {
        let Some(current) = subscription.upgrade() else { return };
        members.mark_unchanged();
        // Before one is known there is nothing to follow.
        let shards = current.client.shards().await.unwrap_or_default();
        let sources = sources(&current.client, &shards);
        for (source, ends) in current.follow(sources.iter().map(|(source, _)| source.clone()).collect()) {
            let node = sources.iter().find(|(other, _)| *other == source).map(|(_, node)| Arc::clone(node));
            let following = Following { subscription: Weak::clone(&subscription), source, ends };
            if let Some(node) = node {
                current.client.world.spawn(following.run(node, wants_changes.clone()));
            }
        }
        let is_cluster = current.client.is_by_slot();
        let pause = current.client.world.between(MEMBERS_EVERY.0, MEMBERS_EVERY.1);
        drop(current);
        tokio::select! {
            biased;
            changed = members.changed() => if changed.is_err() { return },
            changed = ended(&mut wants_changes) => return changed,
            () = tokio::time::sleep(pause), if is_cluster => {
                let Some(current) = subscription.upgrade() else { return };
                // If none answers, they stay as they were.
                drop(current.client.find_members(current.client.config.request_timeout()).await);
            }
        }
    }
}

/// Returns when the subscription is over.
async fn ended(wants_changes: &mut watch::Receiver<bool>) {
    while wants_changes.changed().await.is_ok() {}
}

fn sources(client: &Client, shards: &[Shard]) -> Vec<(Source, Arc<Node>)> {
    let first = shards.iter().map(|shard| shard.marker).min();
    let source = |shard: &Shard| {
        let (endpoint, marker) = (client.endpoint(&shard.node), shard.marker);
        (Source { endpoint, marker, is_first: Some(marker) == first }, Arc::clone(&shard.node))
    };
    shards.iter().map(source).collect()
}

/// What follows one source.
struct Following {
    subscription: Weak<Subscription>,
    source: Source,
    /// Ends when it is not to be followed any more.
    ends: watch::Receiver<()>,
}

impl Following {
    async fn run(mut self, node: Arc<Node>, mut wants_changes: watch::Receiver<bool>) {
        loop {
            let broken = Arc::new(Notify::new());
            let connected = match self.subscription.upgrade() {
                Some(subscription) => self.connect(&subscription, &node, &broken).await,
                None => return,
            };
            let broken = match connected {
                Ok(connection) => self.follow(connection, &broken, &mut wants_changes).await,
                Err(error) => Err(error),
            };
            let mut pauses = RECONNECT_AFTER;
            if let Err(error) = broken {
                tracing::debug!(target: TARGET, error = %Chain::of(&error), "no notifications of changes to locks; polling instead");
                if error::judge(&error) == Verdict::Unauthorized {
                    pauses = REFUSED_AGAIN_AFTER;
                }
            }
            let Some(current) = self.subscription.upgrade() else { return };
            current.delivers(&self.source, Delivers::Nothing);
            if self.ends.has_changed().is_err() {
                return;
            }
            let pause = tokio::time::sleep(current.client.world.between(pauses.0, pauses.1));
            drop(current);
            tokio::select! {
                biased;
                _ = self.ends.changed() => return,
                changed = wants_changes.changed() => if changed.is_err() { return },
                () = pause => {}
            }
        }
    }

    /// A new connection on which our own channel is subscribed to.
    async fn connect(
        &self,
        subscription: &Arc<Subscription>,
        node: &Arc<Node>,
        broken: &Arc<Notify>,
    ) -> Result<MultiplexedConnection, RedisError> {
        let client = &subscription.client;
        let changes = Channel::new(client, &self.source, names::changes_channel);
        let own = Channel::new(client, &self.source, |prefix| names::client_channel(prefix, client.id));
        let (weak, broken) = (Arc::downgrade(subscription), Arc::clone(broken));
        let received = move |push: PushInfo| -> Result<(), std::convert::Infallible> {
            match (push.kind, push.data.as_slice()) {
                (PushKind::Message | PushKind::SMessage, [channel, message]) => {
                    if let (Some(channel), Some(message), Some(subscription)) =
                        (reply::bytes(channel), reply::bytes(message), weak.upgrade())
                    {
                        subscription.deliver(changes.is(channel), message);
                    }
                }
                // The slot of the channels has moved to another shard.
                (PushKind::Disconnection | PushKind::SUnsubscribe, _) => broken.notify_one(),
                _ => {}
            }
            Ok(())
        };
        let limit = client.config.request_timeout();
        let adapt = |settings: redis::AsyncConnectionConfig| {
            settings.set_push_sender(received).set_response_timeout(Some(limit))
        };
        let (made, _) = client.connect_as(node, ProtocolVersion::RESP3, adapt).await?;
        let mut connection = made.connection;
        own.subscribe(&self.source, &mut connection).await?;
        Ok(connection)
    }

    /// Returns when the connection breaks, is not to be followed any more, or the client is gone.
    async fn follow(
        &mut self,
        mut connection: MultiplexedConnection,
        broken: &Notify,
        wants_changes: &mut watch::Receiver<bool>,
    ) -> Result<(), RedisError> {
        let (mut is_new, mut has_changes) = (true, false);
        loop {
            let Some(current) = self.subscription.upgrade() else { return Ok(()) };
            let delivers = if *wants_changes.borrow_and_update() { Delivers::AllChanges } else { Delivers::OwnEntries };
            if delivers == Delivers::AllChanges && !std::mem::replace(&mut has_changes, true) {
                let changes = Channel::new(&current.client, &self.source, names::changes_channel);
                changes.subscribe(&self.source, &mut connection).await?;
            }
            current.delivers(&self.source, delivers);
            if std::mem::take(&mut is_new) {
                current.notifications_missed();
            }
            drop(current);
            tokio::select! {
                biased;
                () = broken.notified() => return Ok(()),
                _ = self.ends.changed() => return Ok(()),
                changed = wants_changes.changed() => if changed.is_err() { return Ok(()) },
                () = tokio::time::sleep(PING_EVERY) => redis::cmd("PING").exec_async(&mut connection).await?,
            }
        }
    }
}
