//! How a request goes to a server, over one connection for all of them.
//!
//! The client crate neither retries nor reconnects: after a failure a request is repeated once, on a new connection, because the
//! first one after an outage always fails. Whatever is sent here may be repeated. In a cluster [`routes`](super::routes) decide
//! which member is asked.

use super::config::{Config, Deployment};
use super::error::{self, Verdict};
use super::fences::Fences;
use super::names;
use super::node::Node;
use super::request::{Request, Response, Responses};
use super::sentinels::Sentinels;
use super::slots;
use super::together::join_until;
use super::topology::{Map, Shard};
use crate::values::error::Error;
use crate::values::mutex::Mutex;
use crate::world::World;
use redis::{Cmd, ProtocolVersion, RedisError, Value};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// One client of one server, of the primary that sentinels name, or of a cluster.
pub(super) struct Client {
    pub(super) config: Config,
    pub(super) world: World,
    /// The client's name in tokens, and of the channel on which it is notified.
    pub(super) id: u64,
    /// The one server; of a cluster, those members that are asked first where the others are.
    pub(super) seeds: Vec<Arc<Node>>,
    pub(super) sentinels: Option<Sentinels>,
    /// Where the slots of a cluster are.
    pub(super) map: Map,
    /// What the server calls the script: the same on every server.
    pub(super) script: Mutex<Option<String>>,
    /// Locks of different slots do not go into one request: the server is in cluster mode.
    by_slot: AtomicBool,
    /// Whether that is known.
    has_mode: AtomicBool,
    /// How many connections are over.
    disconnected: AtomicU64,
    /// When the script has to look at the server's clock.
    pub(super) fences: Fences,
}

/// What is sent.
#[derive(Clone, Copy)]
pub(super) enum Message<'a> {
    /// Each with a value of its own, which may be an error of the server.
    Run(&'a [&'a Request]),
    /// The same, each after `ASKING`: their slot is on its way to this member.
    Ask(&'a [&'a Request]),
    /// Each with a value of its own.
    Plain(&'a [Cmd]),
    LoadScript,
}

/// Why there was no answer, or that of the server to all.
pub(super) struct Failure {
    pub(super) error: RedisError,
    pub(super) verdict: Verdict,
    /// It may still be carried out.
    pub(super) is_unresolved: bool,
}

impl Client {
    pub(super) fn new(config: Config, world: &World) -> Result<Self, Error> {
        config.check()?;
        let endpoints = config.endpoints.iter();
        // What can be wrong with the settings is found without a server.
        endpoints.clone().try_for_each(|endpoint| config.server(endpoint, ProtocolVersion::RESP2).map(drop))?;
        let seeds = match &config.deployment {
            Deployment::Sentinel { .. } => vec![Node::at(None)],
            _ => endpoints.map(|endpoint| Node::at(Some(endpoint.clone()))).collect(),
        };
        Ok(Self {
            seeds,
            sentinels: Sentinels::of(&config),
            map: Map::default(),
            by_slot: AtomicBool::new(config.deployment == Deployment::Cluster),
            has_mode: AtomicBool::new(false),
            config,
            world: world.clone(),
            id: world.bits(),
            script: Mutex::default(),
            disconnected: AtomicU64::new(0),
            fences: Fences::default(),
        })
    }

    /// Runs a command of the script.
    pub(super) async fn run(&self, request: &Request) -> Response {
        let Responses { results, is_unresolved } = self.run_each(self.config.request_timeout(), &[request]).await;
        let missing = || Err(Error::unavailable(format!("Redis at {} did not answer", self.config.place())));
        Response { result: results.and_then(|mut results| results.pop().unwrap_or_else(missing)), is_unresolved }
    }

    /// Runs several commands of the script, pipelined, each attempt within `limit`.
    pub(super) async fn run_all(&self, limit: Duration, requests: &[Request]) -> Responses {
        self.run_each(limit, &requests.iter().collect::<Vec<_>>()).await
    }

    async fn run_each(&self, limit: Duration, requests: &[&Request]) -> Responses {
        if self.is_by_slot() {
            return self.run_by_slot(limit, requests).await;
        }
        let response = self.send(&self.seeds[0], limit, Message::Run(requests)).await;
        // Which is known with the first connection.
        if self.is_by_slot() && response.result.is_err() && !response.is_unresolved {
            return self.run_by_slot(limit, requests).await;
        }
        self.responses(&self.seeds[0], response)
    }

    /// Runs a command of the script that is about no lock on this shard.
    pub(super) async fn run_on(&self, shard: &Shard, request: &Request) -> Result<Value, Error> {
        let response = self.send(&shard.node, self.config.request_timeout(), Message::Run(&[request])).await;
        let missing = || Err(Error::unavailable(format!("Redis at {} did not answer", self.endpoint(&shard.node))));
        self.responses(&shard.node, response).results?.pop().unwrap_or_else(missing)
    }

    /// Sends one plain command to this server, each attempt within `limit`.
    pub(super) async fn ask(&self, node: &Arc<Node>, limit: Duration, command: &Cmd) -> Result<Value, Error> {
        match self.send(node, limit, Message::Plain(std::slice::from_ref(command))).await.result? {
            Value::Array(mut values) if values.len() == 1 => self.answer(node, values.remove(0)),
            value => Ok(value),
        }
    }

    /// Returns when a server has answered: in a cluster any.
    pub(super) async fn ping(&self, limit: Duration) -> Result<(), Error> {
        let shards = self.shards().await?;
        let ping = redis::cmd("PING");
        let is_enough = |answers: &[Option<Result<Value, Error>>]| answers.iter().flatten().any(Result::is_ok);
        let answers = join_until(shards.iter().map(|shard| self.ask(&shard.node, limit, &ping)), is_enough).await;
        let mut answers: Vec<_> = answers.into_iter().flatten().collect();
        if answers.iter().any(Result::is_ok) {
            return Ok(());
        }
        let nobody = || Err(Error::unavailable(format!("Redis at {} did not answer", self.config.place())));
        answers.pop().unwrap_or_else(nobody).map(drop)
    }

    /// The server that has this lock, as far as is known.
    pub(super) fn node_of(&self, lock: &str) -> Arc<Node> {
        let in_cluster = || self.map.current().primary(slots::slot(lock)).cloned();
        let node = if self.is_by_slot() { in_cluster() } else { None };
        node.unwrap_or_else(|| Arc::clone(&self.seeds[0]))
    }

    /// Loads the script: the first request of a session, which finds out whether there is a server at all.
    pub(super) async fn load_script(&self) -> Result<(), Error> {
        let limit = self.config.request_timeout();
        if !self.is_by_slot() {
            let loaded = self.load_script_at(&self.seeds[0], limit).await;
            if !self.is_by_slot() {
                return loaded;
            }
        }
        self.begin_in_cluster(limit).await
    }

    pub(super) async fn load_script_at(&self, node: &Arc<Node>, limit: Duration) -> Result<(), Error> {
        self.send(node, limit, Message::LoadScript).await.result.map(drop)
    }

    /// Whether locks of different slots do not go into one request.
    pub(super) fn is_by_slot(&self) -> bool {
        self.by_slot.load(Ordering::Acquire)
    }

    /// The server has said whether it is in cluster mode.
    pub(super) fn note_mode(&self, is_cluster: bool) {
        if is_cluster {
            self.by_slot.store(true, Ordering::Release);
        }
        self.has_mode.store(true, Ordering::Release);
    }

    /// Returns when it is known whether the server is in cluster mode.
    pub(super) async fn find_mode(&self) -> Result<(), Error> {
        if self.is_by_slot() || self.has_mode.load(Ordering::Acquire) {
            return Ok(());
        }
        let connected = self.send(&self.seeds[0], self.config.request_timeout(), Message::Plain(&[])).await;
        connected.result.map(drop)
    }

    /// Whether another server may take the place of a primary by itself.
    pub(super) fn fails_over(&self) -> bool {
        self.is_by_slot() || self.sentinels.is_some()
    }

    /// How many connections are over: what was written before another one began may be forgotten, by a failover.
    pub(super) fn disconnected(&self) -> u64 {
        self.disconnected.load(Ordering::Acquire)
    }

    /// The prefix of all our channels.
    pub(super) fn channel_prefix(&self) -> String {
        let database = if self.is_by_slot() { 0 } else { self.config.database };
        names::channel_prefix(&self.config.namespace, database)
    }

    /// Where the server is, as a person would say it.
    pub(super) fn endpoint(&self, node: &Node) -> String {
        let known = || self.sentinels.as_ref().and_then(Sentinels::known).unwrap_or_else(|| self.config.place());
        node.endpoint.clone().unwrap_or_else(known)
    }

    /// Two attempts.
    async fn send(&self, node: &Arc<Node>, limit: Duration, message: Message<'_>) -> Response {
        let mut is_unresolved = false;
        let mut is_last = false;
        loop {
            let failure = match self.attempt(node, limit, message).await {
                Ok(value) => return Response { result: Ok(value), is_unresolved },
                Err(failure) => failure,
            };
            is_unresolved |= failure.is_unresolved;
            if is_last || failure.verdict != Verdict::Reconnect {
                return Response { result: Err(self.explain(node, failure)), is_unresolved };
            }
            is_last = true;
        }
    }

    fn responses(&self, node: &Node, response: Response) -> Responses {
        let results = response.result.map(|value| match value {
            Value::Array(values) => values.into_iter().map(|value| self.answer(node, value)).collect(),
            _ => Vec::new(),
        });
        Responses { results, is_unresolved: response.is_unresolved }
    }

    /// A value, or the server's error that is in its place.
    pub(super) fn answer(&self, node: &Node, value: Value) -> Result<Value, Error> {
        value.extract_error().map_err(|error| {
            let verdict = error::judge(&error);
            if verdict == Verdict::GroupBySlot {
                self.by_slot.store(true, Ordering::Release);
            }
            error::explain(&self.config, &self.endpoint(node), verdict, error)
        })
    }

    pub(super) fn explain(&self, node: &Node, failure: Failure) -> Error {
        error::explain(&self.config, &self.endpoint(node), failure.verdict, failure.error)
    }

    /// What was written before may be forgotten.
    pub(super) fn note_disconnected(&self) {
        self.disconnected.fetch_add(1, Ordering::AcqRel);
        self.fences.forget();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("config", &self.config).finish_non_exhaustive()
    }
}
