//! Locks in Redis or Valkey: one server, a primary that sentinels name, or a cluster.
//!
//! The lock is a plain string key named `<namespace><key>` that holds a token and expires, as redis-py's `Lock`, redsync
//! and ShedLock have it: they exclude us and we them, and any value that is not ours is an unknown holder. A hold that nobody
//! waits for is in one piece: fence and record follow the token in that value, and nothing else belongs to it. Whoever queues
//! behind it divides it: then other keys belong to the lock, `{name}:holder` (record, fence), `{name}:queue` and
//! `{name}:waiters` (our waiters in the order of their arrival), which end with their entries. Readers and those who have
//! permits hold as others do while they are alone; several have a time each in `{name}:holders`, and the key itself lasts as
//! long as the last of them. What an entry wants is in its token, so that the script knows it of all of them. Earlier versions know
//! divided holds only, and one in one piece is a foreign lock to them, which their waiters poll for. What stays is one key for each
//! namespace, `{namespace}:fence`, the greatest fence so far; in a cluster one for each slot in use, which moves with it.
//!
//! Acquiring a free lock takes one request, and so does releasing it; those of many locks at one moment share requests. Other
//! releases hand the lock off to the first waiter in the same step; that waiter's client is notified, and asks the server.
//! Whoever may publish can forge a notification, so it is a reason to ask, and never a grant or a loss.
//!
//! | event | what happens |
//! |---|---|
//! | this process crashes | its locks expire within the TTL (of more than a thousand in one session, within twice the TTL and a tenth), and the first waiter acquires them some milliseconds later |
//! | this process is paused for longer than the TTL | as after a crash; on resume the engine's deadline has passed already |
//! | the network is partitioned | nothing is granted and nothing renewed; holds end at their deadline, before the keys expire |
//! | the server is restarted with its data | expiries are moments, so what was due meanwhile is over; the rest goes on |
//! | the server is restarted without its data | **every lock is forgotten**: another may hold it at once, while the former holder finds out by its next renewal, a third of the TTL later at most |
//! | a replica is promoted | the same for what had not been replicated, and for what a partitioned primary still grants: **two may hold a lock**, so it is advisory unless the fence is used |
//! | a primary of a cluster, or of sentinels, dies | the same for its locks alone, by itself: who holds one for a second hears of a loss as soon as another server is the primary |
//! | a former primary comes back | it is not asked: a connection that leads to it is given up, with whatever it still answers |
//! | a shard of a cluster is cut off | its locks end at their deadlines, and no others |
//! | a slot moves to another shard | what is held is renewed, wherever its keys are; nothing is granted or taken for gone because a key is elsewhere |
//! | the server's clock jumps forward | keys expire early: two may hold a lock for up to a TTL. Redis counts expiries by the wall clock |
//! | the server's clock jumps back | keys expire late; fences still grow, from the greatest one, which the namespace keeps (a user without the right to that key has one for each lock, which is remembered for ten minutes: fences then grow over jumps of so long) |
//! | the server is out of memory (`noeviction`) | holders and waiters are renewed, locks are released and handed off; none is granted, and no one enters a queue |
//! | the process ends after the body of `hold_at_least` | the lock is free when that time is over |
//! | the server evicts keys | locks may go; set `maxmemory-policy noeviction` |
//! | a lock's key is deleted by hand | as after a restart without data; `force_release` notifies the holder at once |
//!
//! # Why a hand-off is safe
//!
//! The engine counts a session's deadline from the sending of the last renewal that was acknowledged, and an entry is in
//! the list of each renewal that is sent after it was first requested. So the server's time for an entry, whether it holds
//! or waits, ends no sooner than the TTL after that sending. A waiter to which the lock is handed off gets the key for what
//! is left of its own time, neither more nor less: it ends for the server no sooner than for the engine, and a client that
//! stopped renewing gets no time by it. The notification may come late, or never: the deadline is the same.
//!
//! # Why a slot that moves grants nothing twice
//!
//! Of a lock that moves some keys may be on one node and some on the other. Where the slot comes from, a key that is not there is
//! an error; where it goes to, it looks as if there were none. So the script asks first whether the slot moves, and if so, does
//! only what one key decides: a hold in one piece is renewed or released, a lock whose key is on neither side is acquired if the
//! slot's fence is there already, and a divided hold, or a waiter, is renewed if what is renewed is there. All else is refused
//! until the slot has moved.
//!
//! A request without an answer may still be carried out. Entries have tokens that are never used again, and whatever is
//! done to an entry is conditional on its token; so the worst is an orphaned entry, which is withdrawn with the next
//! renewals, and lapses by itself.

mod attempt;
mod batch;
mod client;
mod cluster;
mod config;
mod confirm;
mod connect;
#[cfg(feature = "testing")]
mod dialled;
mod done;
mod each;
mod enter;
mod entries;
mod error;
mod extend;
mod facts;
mod failovers;
#[cfg(all(test, feature = "testing"))]
mod fakes;
mod fences;
mod foreign;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod hand_over;
mod inspect;
mod lasting;
mod names;
mod node;
mod notification;
mod pace;
mod part;
mod poll;
mod removed;
mod renew;
mod replicas;
mod reply;
mod request;
mod routes;
mod sentinels;
mod session;
mod shared;
mod slots;
mod subscribed;
mod subscription;
#[cfg(test)]
mod tests;
mod together;
mod topology;
mod wait;
mod watch;
mod watched;

pub use config::{Config, Deployment};

use crate::contract::{Capabilities, Change, Line, Native, NativeKind, Pending, Scope, Session, Store, boxed};
use crate::values::error::Error;
use crate::values::key::Key;
use crate::world::World;
use client::Client;
use session::RedisSession;
use std::sync::Arc;
use std::time::Duration;
use subscription::Subscription;
use tokio::sync::mpsc;

/// A store of locks in Redis 6 or newer, or Valkey.
#[derive(Debug)]
pub struct Redis {
    client: Arc<Client>,
    subscription: Arc<Subscription>,
}

impl Redis {
    /// A store at the server in `config`. Nothing is sent yet: the server need not be up.
    ///
    /// # Errors
    ///
    /// `InvalidUrl` for what is wrong in `config` whatever the server is.
    pub fn new(config: Config, world: &World) -> Result<Self, Error> {
        let client = Arc::new(Client::new(config, world)?);
        Ok(Self { subscription: Arc::new(Subscription::new(&client)), client })
    }
}

impl Store for Redis {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            fencing: true,
            queue_order: true,
            outlives_process: true,
            force_release: true,
            notices_removal: true,
            shared: true,
            permits: true,
            multi_key: true,
            once: true,
            hand_over: true,
        }
    }

    fn open(&self, ttl: Duration) -> Pending<Arc<dyn Session>> {
        let (client, subscription) = (Arc::clone(&self.client), Arc::clone(&self.subscription));
        Box::pin(async move { Ok(boxed(RedisSession::open(client, subscription, ttl).await?)) })
    }

    fn inspect(&self, scope: Scope) -> Pending<Vec<Line>> {
        let client = Arc::clone(&self.client);
        Box::pin(async move { inspect::inspect(&client, &scope).await })
    }

    fn watch(&self, scope: Scope) -> Pending<mpsc::Receiver<Change>> {
        Box::pin(watch::watch(Arc::clone(&self.subscription), scope))
    }

    fn force_release(&self, key: Key) -> Pending<usize> {
        let client = Arc::clone(&self.client);
        Box::pin(async move { inspect::force_release(&client, &key, None).await })
    }

    fn force_release_if(&self, key: Key, fence: u64) -> Pending<usize> {
        let client = Arc::clone(&self.client);
        Box::pin(async move { inspect::force_release(&client, &key, Some(fence)).await })
    }

    fn done(&self, key: Key) -> Pending<Option<String>> {
        let client = Arc::clone(&self.client);
        Box::pin(async move { done::read(&client, &key).await })
    }

    fn forget(&self, key: Key) -> Pending<bool> {
        let client = Arc::clone(&self.client);
        Box::pin(async move { done::forget(&client, &key).await })
    }

    fn native(&self) -> Native {
        let client = Arc::clone(&self.client);
        Native(NativeKind::ServerFacts(Arc::new(move || {
            let client = Arc::clone(&client);
            Box::pin(async move { facts::facts(&client).await })
        })))
    }
}
