//! The connection to the server, and how a request goes over it.
//!
//! One connection for all requests, which are pipelined on it in the order in which they were begun. The client crate
//! neither retries nor reconnects: after a failure a request is repeated once, on a new connection, because the first
//! one after an outage always fails. Whatever is sent here may be repeated.

use super::config::Config;
use super::status::{self, Verdict};
use crate::values::error::Error;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ProtocolVersion, RedisError, Value};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;

/// Everything that is done to locks.
const SCRIPT: &str = include_str!("line.lua");

/// The server, as this client sees it.
pub(super) struct Server {
    pub(super) config: Config,
    client: Client,
    connection: Mutex<Arc<OnceCell<MultiplexedConnection>>>,
    /// What the server calls the script: the same on every server.
    script: Mutex<Option<String>>,
}

/// What is to be done to some locks.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) what: &'static str,
    /// The locks.
    pub(super) keys: Vec<String>,
    pub(super) arguments: Vec<Vec<u8>>,
}

/// What is sent.
#[derive(Clone, Copy)]
enum Message<'a> {
    Request(&'a Request),
    Command(&'a Cmd),
    Greeting,
}

/// What came of a request.
pub(super) struct Reply {
    pub(super) result: Result<Value, Error>,
    /// One of the attempts was given up, and may still be carried out.
    pub(super) in_doubt: bool,
}

impl Server {
    pub(super) fn new(config: Config) -> Result<Self, Error> {
        config.check()?;
        let client = config.client(ProtocolVersion::RESP2)?;
        Ok(Self { config, client, connection: Mutex::default(), script: Mutex::default() })
    }

    /// Does what the script can do, each attempt within `limit`.
    pub(super) async fn ask(&self, limit: Duration, request: &Request) -> Reply {
        self.send(limit, Message::Request(request)).await
    }

    /// Sends one plain command, each attempt within `limit`.
    pub(super) async fn command(&self, limit: Duration, command: &Cmd) -> Result<Value, Error> {
        self.send(limit, Message::Command(command)).await.result
    }

    /// Loads the script: the first request of a session, which finds out whether there is a server at all.
    pub(super) async fn greet(&self) -> Result<(), Error> {
        self.send(self.config.attempt(), Message::Greeting).await.result.map(drop)
    }

    async fn send(&self, limit: Duration, message: Message<'_>) -> Reply {
        let mut in_doubt = false;
        for is_last in [false, true] {
            let cell = self.connection();
            let error = match tokio::time::timeout(limit, self.attempt(&cell, message)).await {
                Ok(Ok(value)) => return Reply { result: Ok(value), in_doubt },
                Ok(Err(error)) => error,
                Err(_) => silent(limit),
            };
            let verdict = status::judge(&error);
            if matches!(verdict, Verdict::Reconnect | Verdict::Elsewhere) {
                self.forget(&cell);
            }
            in_doubt |= verdict == Verdict::Reconnect && cell.initialized();
            if is_last || verdict != Verdict::Reconnect {
                let user = self.config.user.as_ref().map(|(name, _)| name.as_str());
                let error = status::explain(verdict, &self.config.endpoint(), user, error);
                return Reply { result: Err(error), in_doubt };
            }
        }
        Reply { result: Err(Error::unavailable("Redis was not asked")), in_doubt }
    }

    async fn attempt(&self, cell: &OnceCell<MultiplexedConnection>, message: Message<'_>) -> Result<Value, RedisError> {
        let mut connection = self.connected(cell).await?;
        match message {
            Message::Request(request) => self.run_script(connection, request).await,
            Message::Command(command) => command.query_async(&mut connection).await,
            Message::Greeting => self.load_script(connection).await.map(|_| Value::Nil),
        }
    }

    async fn run_script(&self, mut connection: MultiplexedConnection, request: &Request) -> Result<Value, RedisError> {
        let known = lock(&self.script).clone();
        let name = match known {
            Some(name) => name,
            None => self.load_script(connection.clone()).await?,
        };
        let run = self.evalsha(&name, request);
        match run.query_async(&mut connection).await {
            Err(error) if status::judge(&error) == Verdict::LoadScript => {
                self.load_script(connection.clone()).await?;
                run.query_async(&mut connection).await
            }
            answer => answer,
        }
    }

    async fn load_script(&self, mut connection: MultiplexedConnection) -> Result<String, RedisError> {
        let name: String = redis::cmd("SCRIPT").arg("LOAD").arg(SCRIPT).query_async(&mut connection).await?;
        *lock(&self.script) = Some(name.clone());
        Ok(name)
    }

    fn evalsha(&self, name: &str, request: &Request) -> Cmd {
        let mut run = redis::cmd("EVALSHA");
        run.arg(name).arg(request.keys.len()).arg(&request.keys).arg(request.what).arg(self.channels());
        for argument in &request.arguments {
            run.arg(argument);
        }
        run
    }

    /// What our channels begin with.
    pub(super) fn channels(&self) -> String {
        super::names::channels(&self.config.namespace, self.config.database)
    }

    fn connection(&self) -> Arc<OnceCell<MultiplexedConnection>> {
        Arc::clone(&lock(&self.connection))
    }

    async fn connected(&self, cell: &OnceCell<MultiplexedConnection>) -> Result<MultiplexedConnection, RedisError> {
        let connect =
            || async { self.client.get_multiplexed_async_connection_with_config(&settings(&self.config)).await };
        cell.get_or_try_init(connect).await.cloned()
    }

    /// The next request takes a new connection, unless somebody else did so already.
    fn forget(&self, cell: &Arc<OnceCell<MultiplexedConnection>>) {
        let mut current = lock(&self.connection);
        if Arc::ptr_eq(&current, cell) {
            *current = Arc::default();
        }
    }
}

fn silent(limit: Duration) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer within {limit:?}")).into()
}

/// How to connect. Time limits are our own: one that passes here would leave its request in the connection.
pub(super) fn settings(config: &Config) -> AsyncConnectionConfig {
    let settings = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(config.attempt()))
        .set_response_timeout(None)
        // Requests wait in the connection, in order.
        .set_pipeline_buffer_size(1024);
    match &config.tls {
        Some(tls) if tls.domain.is_some() => settings.set_dns_resolver(HostInstead(config.host.clone())),
        _ => settings,
    }
}

/// Looks up the host whatever name the certificate is for.
struct HostInstead(String);

impl redis::io::AsyncDNSResolver for HostInstead {
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

/// A lock on what no panic can leave half changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("config", &self.config).finish_non_exhaustive()
    }
}
