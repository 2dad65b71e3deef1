//! Locks in Kubernetes: each is a Lease, as client-go's leader election has it. It excludes us and we it.
//!
//! A key that can be the name of an object is the name of its Lease; any other has a readable name with a hash. `holderIdentity`,
//! times and duration are client-go's; who holds is in these alone. What is ours is in annotations: the key, the record of the holder,
//! its fence, the line of those who wait, what was done once. Whoever waits follows the Lease by a watch.
//!
//! A free lock takes one request, and so does its release: the Lease is made, and deleted. Others are taken, handed to the first of
//! the line, and left free by JSON patches, each conditional on what was seen; a renewal is one, for each lock, and is conditional on
//! its holder alone. Nothing is ever replaced as a whole.
//!
//! | event | what happens |
//! |---|---|
//! | this process crashes | its locks are free when an observer has seen them unrenewed for their TTL: one who waits already, a TTL after the last renewal; one who comes later, a TTL after that |
//! | this process is paused for longer than the TTL | as after a crash; on resume the engine's deadline has passed already |
//! | the network is partitioned | nothing is granted and nothing renewed; holds end at their deadline, before any observer counts them as over |
//! | an API server is restarted | nothing is lost; what could not be renewed for a TTL lapses |
//! | etcd is restored from an earlier state | **its locks are as they were then**: two may hold one. The session whose answers go back is lost; fences may repeat, unless the restore bumps the revision |
//! | a clock jumps, on any machine | nothing: durations count from when a hold was seen, by the observer's own clock, which runs through suspend. (A single try, with `wait = 0`, takes a hold as over that was not renewed for its TTL and a minute more, both by the API servers' clocks and by those of its holder and of this machine: of a holder that died while nobody waited) |
//! | the Lease is deleted, emptied or edited by hand | the holder finds out by its watch, or its next renewal, a third of the TTL later at most: **another may hold it sooner** |
//! | the first in line is dead | it is passed over after three seconds |
//! | the process ends after the body of `hold_at_least` | the lock is free when that time is over; for an observer who comes during it, after as long again at most |
//!
//! # Why a hold that is over is over
//!
//! Whoever takes a Lease from another has seen it unchanged for the whole duration that is written in it, by its own clock; and the
//! change is refused if it was renewed meanwhile, seen or not. The holder counts its deadline from the sending of the last renewal that
//! was acknowledged, which is before anybody can have seen it. What is given to the first of the line is given for three seconds, and
//! is no grant before that one has renewed it.

mod client;
mod config;
mod dial;
mod done;
mod enter;
mod entries;
mod error;
mod extend;
mod facts;
mod follow;
mod followed;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod hand_over;
mod inspect;
mod lease;
mod line;
mod names;
mod overtaken;
mod patch;
mod refused;
mod remembered;
mod removed;
mod renew;
mod session;
mod shared;
mod stream;
mod take;
mod time;
mod together;
mod token;
mod wait;
mod watch;
mod wire;

pub use config::Config;

use crate::contract::{Capabilities, Change, Line, Native, NativeKind, Pending, Scope, Session, Store, boxed};
use crate::values::error::Error;
use crate::values::key::Key;
use crate::world::World;
use client::Client;
use session::KubernetesSession;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// A store of locks in Leases of Kubernetes 1.35 or newer.
#[derive(Debug)]
pub struct Kubernetes {
    client: Arc<Client>,
}

impl Kubernetes {
    /// The name of the Lease of a lock: what another client of Leases is told that is to share it.
    #[must_use]
    pub fn lease_name(key: &Key) -> String {
        names::lease(key)
    }

    /// A store at the API server in `config`. Nothing is sent yet: the server need not be up.
    ///
    /// # Errors
    ///
    /// `InvalidUrl` for what is wrong in `config` whatever the server is.
    pub fn new(config: Config, world: &World) -> Result<Self, Error> {
        Ok(Self { client: Client::new(config, world)? })
    }
}

impl Store for Kubernetes {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            fencing: true,
            queue_order: true,
            outlives_process: true,
            force_release: true,
            notices_removal: true,
            shared: false,
            permits: false,
            multi_key: false,
            once: true,
            hand_over: true,
        }
    }

    fn open(&self, ttl: Duration) -> Pending<Arc<dyn Session>> {
        let client = Arc::clone(&self.client);
        Box::pin(async move { Ok(boxed(KubernetesSession::open(&client, ttl)?)) })
    }

    fn inspect(&self, scope: Scope) -> Pending<Vec<Line>> {
        let client = Arc::clone(&self.client);
        Box::pin(async move { inspect::inspect(&client, &scope).await })
    }

    fn watch(&self, scope: Scope) -> Pending<mpsc::Receiver<Change>> {
        Box::pin(watch::watch(Arc::clone(&self.client), scope))
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
