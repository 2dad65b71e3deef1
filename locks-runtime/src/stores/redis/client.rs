//! The connection to the server, and how a request goes over it.
//!
//! One connection for all requests, which are pipelined on it in the order in which they were begun. The client crate
//! neither retries nor reconnects: after a failure a request is repeated once, on a new connection, because the first
//! one after an outage always fails. Whatever is sent here may be repeated.

use super::cluster;
use super::config::Config;
use super::error::{self, Verdict};
use super::fences::Fences;
use super::names;
use super::part::Waiting;
use super::request::{Request, Response, Responses};
use crate::contract::batches::Batches;
use crate::values::error::Error;
use crate::values::mutex::Mutex;
use crate::world::World;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ProtocolVersion, RedisError, Value};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::OnceCell;

/// Everything that is done to locks.
const SCRIPT: &str = include_str!("queue.lua");

/// One client of one server.
pub(super) struct Client {
    pub(super) config: Config,
    pub(super) world: World,
    /// The client's name in tokens, and of the channel on which it is notified.
    pub(super) id: u64,
    server: redis::Client,
    connection: Mutex<Arc<OnceCell<MultiplexedConnection>>>,
    /// What the server calls the script: the same on every server.
    script: Mutex<Option<String>>,
    /// Locks of different slots do not go into one request: the server is in cluster mode.
    by_slot: AtomicBool,
    /// How many connections are over.
    disconnected: AtomicU64,
    /// When the script has to look at the server's clock.
    pub(super) fences: Fences,
    /// What shares a request.
    pub(super) batches: Batches<Waiting>,
}

/// What is sent.
#[derive(Clone, Copy)]
enum Message<'a> {
    /// Each with a value of its own, which may be an error of the server.
    Run(&'a [Request]),
    Plain(&'a Cmd),
    LoadScript,
}

impl Client {
    pub(super) fn new(config: Config, world: &World) -> Result<Self, Error> {
        config.check()?;
        Ok(Self {
            server: config.server(ProtocolVersion::RESP2)?,
            config,
            world: world.clone(),
            id: world.bits(),
            connection: Mutex::default(),
            script: Mutex::default(),
            by_slot: AtomicBool::new(false),
            disconnected: AtomicU64::new(0),
            fences: Fences::default(),
            batches: Batches::default(),
        })
    }

    /// Runs a command of the script.
    pub(super) async fn run(&self, request: &Request) -> Response {
        let sent = self.send(self.config.request_timeout(), Message::Run(std::slice::from_ref(request))).await;
        let result = sent.result.and_then(|values| match values {
            Value::Array(mut values) if values.len() == 1 => self.answer(values.remove(0)),
            value => Ok(value),
        });
        Response { result, is_unresolved: sent.is_unresolved }
    }

    /// Runs several commands of the script, pipelined, each attempt within `limit`.
    pub(super) async fn run_all(&self, limit: Duration, requests: &[Request]) -> Responses {
        let Response { result, is_unresolved } = self.send(limit, Message::Run(requests)).await;
        let results = result.map(|value| match value {
            Value::Array(values) => values.into_iter().map(|value| self.answer(value)).collect(),
            _ => Vec::new(),
        });
        Responses { results, is_unresolved }
    }

    /// Sends one plain command, each attempt within `limit`.
    pub(super) async fn send_within(&self, limit: Duration, command: &Cmd) -> Result<Value, Error> {
        self.send(limit, Message::Plain(command)).await.result
    }

    /// Loads the script, and refuses a cluster of several shards: the first request of a session, which finds out whether
    /// there is a server at all.
    pub(super) async fn load_script(&self) -> Result<(), Error> {
        let limit = self.config.request_timeout();
        self.send(limit, Message::LoadScript).await.result?;
        if self.is_by_slot() {
            cluster::check(&self.config, &self.send_within(limit, &cluster::slots()).await?)
        } else {
            Ok(())
        }
    }

    /// Whether locks of different slots do not go into one request.
    pub(super) fn is_by_slot(&self) -> bool {
        self.by_slot.load(Ordering::Acquire)
    }

    /// How many connections are over: what was written before another one began may be forgotten, by a failover.
    pub(super) fn disconnected(&self) -> u64 {
        self.disconnected.load(Ordering::Acquire)
    }

    /// The prefix of all our channels.
    pub(super) fn channel_prefix(&self) -> String {
        names::channel_prefix(&self.config.namespace, self.config.database)
    }

    async fn send(&self, limit: Duration, message: Message<'_>) -> Response {
        let mut is_unresolved = false;
        let mut is_last = false;
        loop {
            let cell = Arc::clone(&self.connection.lock());
            let error = match tokio::time::timeout(limit, self.attempt(&cell, message)).await {
                Ok(Ok(value)) => {
                    self.look_for_a_failover(&cell, &value);
                    return Response { result: Ok(value), is_unresolved };
                }
                Ok(Err(error)) => error,
                Err(_) => timed_out(limit),
            };
            let verdict = error::judge(&error);
            if matches!(verdict, Verdict::Reconnect | Verdict::OtherServer) {
                self.disconnect(&cell);
            }
            is_unresolved |= verdict == Verdict::Reconnect && cell.initialized();
            if is_last || verdict != Verdict::Reconnect {
                return Response { result: Err(error::explain(&self.config, verdict, error)), is_unresolved };
            }
            is_last = true;
        }
    }

    /// A value, or the server's error that is in its place.
    fn answer(&self, value: Value) -> Result<Value, Error> {
        value.extract_error().map_err(|error| {
            let verdict = error::judge(&error);
            if verdict == Verdict::GroupBySlot {
                self.by_slot.store(true, Ordering::Release);
            }
            error::explain(&self.config, verdict, error)
        })
    }

    /// Errors that are values may show that another server is the primary by now: the next request connects anew.
    fn look_for_a_failover(&self, cell: &Arc<OnceCell<MultiplexedConnection>>, value: &Value) {
        let Value::Array(values) = value else { return };
        let is_another = |value: &Value| match value {
            Value::ServerError(error) => error::judge(&error.clone().into()) == Verdict::OtherServer,
            _ => false,
        };
        if values.iter().any(is_another) {
            self.disconnect(cell);
        }
    }

    async fn attempt(&self, cell: &OnceCell<MultiplexedConnection>, message: Message<'_>) -> Result<Value, RedisError> {
        let mut connection = self.connected(cell).await?;
        match message {
            Message::Run(requests) => self.run_on(connection, requests).await.map(Value::Array),
            Message::Plain(command) => command.query_async(&mut connection).await,
            Message::LoadScript => self.load_script_on(connection).await.map(|_| Value::Nil),
        }
    }

    async fn run_on(
        &self,
        mut connection: MultiplexedConnection,
        requests: &[Request],
    ) -> Result<Vec<Value>, RedisError> {
        let known = self.script.lock().clone();
        let script = match known {
            Some(script) => script,
            None => self.load_script_on(connection.clone()).await?,
        };
        let mut all = redis::Pipeline::with_capacity(requests.len());
        for request in requests {
            all.add_command(self.evalsha(&script, request));
        }
        let values = connection.send_packed_commands(&all, 0, requests.len()).await?;
        if !values.iter().any(is_without_script) {
            return Ok(values);
        }
        self.load_script_on(connection.clone()).await?;
        connection.send_packed_commands(&all, 0, requests.len()).await
    }

    async fn load_script_on(&self, mut connection: MultiplexedConnection) -> Result<String, RedisError> {
        let script: String = redis::cmd("SCRIPT").arg("LOAD").arg(SCRIPT).query_async(&mut connection).await?;
        *self.script.lock() = Some(script.clone());
        Ok(script)
    }

    fn evalsha(&self, script: &str, request: &Request) -> Cmd {
        let mut run = redis::cmd("EVALSHA");
        run.arg(script).arg(request.locks.len()).arg(&request.locks).arg(request.command).arg(&self.config.namespace);
        if self.is_by_slot() {
            run.arg("");
        } else {
            run.arg(self.config.database);
        }
        for argument in &request.arguments {
            run.arg(argument);
        }
        run
    }

    async fn connected(&self, cell: &OnceCell<MultiplexedConnection>) -> Result<MultiplexedConnection, RedisError> {
        let connect = || async {
            let settings = connection_settings(&self.config);
            let mut connection = self.connect(&self.server, &settings).await?;
            if cluster::is_one(&mut connection).await? {
                self.by_slot.store(true, Ordering::Release);
            }
            Ok(connection)
        };
        cell.get_or_try_init(connect).await.cloned()
    }

    /// A new connection to the server.
    pub(super) async fn connect(
        &self,
        server: &redis::Client,
        settings: &AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, RedisError> {
        #[cfg(feature = "testing")]
        if let Some(dial) = self.world.stream_dial() {
            let limit = self.config.request_timeout();
            let connect = super::dialled::connect(&self.world, dial, server, settings);
            return tokio::time::timeout(limit, connect).await.unwrap_or_else(|_| Err(timed_out(limit)));
        }
        server.get_multiplexed_async_connection_with_config(settings).await
    }

    /// The next request takes a new connection, unless there is one already.
    fn disconnect(&self, cell: &Arc<OnceCell<MultiplexedConnection>>) {
        let mut current = self.connection.lock();
        if Arc::ptr_eq(&current, cell) {
            *current = Arc::default();
            self.disconnected.fetch_add(1, Ordering::AcqRel);
            self.fences.forget();
        }
    }
}

fn is_without_script(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if error.kind() == Some(redis::ServerErrorKind::NoScript))
}

/// How to connect. Timeouts are our own: after one that passes here, its request would stay in the connection.
pub(super) fn connection_settings(config: &Config) -> AsyncConnectionConfig {
    let settings = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(config.request_timeout()))
        .set_response_timeout(None)
        // Requests wait in the connection, in order.
        .set_pipeline_buffer_size(1024);
    match &config.tls {
        Some(tls) if tls.domain.is_some() => settings.set_dns_resolver(ResolveHost(config.host.clone())),
        _ => settings,
    }
}

/// A time for the server, which counts milliseconds: rounded up, and at least one.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX >> 12).max(1)
}

fn timed_out(limit: Duration) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer within {limit:?}")).into()
}

/// Looks up the host whatever name the certificate is for.
struct ResolveHost(String);

impl redis::io::AsyncDNSResolver for ResolveHost {
    #[expect(single_use_lifetimes, reason = "the trait has it so")]
    fn resolve<'a, 'b: 'a>(
        &'a self,
        _: &'b str,
        port: u16,
    ) -> redis::RedisFuture<'a, Box<dyn Iterator<Item = std::net::SocketAddr> + Send + 'a>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((self.0.as_str(), port)).await?;
            Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Box<dyn Iterator<Item = _> + Send>)
        })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("config", &self.config).finish_non_exhaustive()
    }
}
