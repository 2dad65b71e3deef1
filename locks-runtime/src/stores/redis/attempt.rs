//! One attempt to send something to one server, and the connection that it takes.

use super::client::{Client, Failure, Message};
use super::connect::{self, Greeting};
use super::error::{self, Verdict};
use super::node::{Connection, Made, Node};
use super::replicas;
use super::request::Request;
use super::sentinels::{Asked, Sentinels};
use super::slots;
use crate::values::target::TARGET;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ProtocolVersion, RedisError, Value};
use std::sync::Arc;
use std::time::Duration;

/// Everything that is done to locks.
const SCRIPT: &str = include_str!("queue.lua");

impl Client {
    /// One attempt; its failure may be why the next one takes a new connection.
    pub(super) async fn attempt(
        &self,
        node: &Arc<Node>,
        limit: Duration,
        message: Message<'_>,
    ) -> Result<Value, Failure> {
        let connection = node.connection(self.is_replicated(message));
        let error = match tokio::time::timeout(limit, self.send_on(node, &connection, message)).await {
            // That a former primary has done it means nothing.
            Ok(Ok(_)) if self.is_former(node, &connection) => {
                std::io::Error::from(std::io::ErrorKind::ConnectionReset).into()
            }
            Ok(Ok(value)) => {
                node.note(false);
                self.look_for_a_failover(node, &connection, &value);
                return Ok(value);
            }
            Ok(Err(error)) => error,
            Err(_) => connect::timed_out(limit),
        };
        let verdict = error::judge(&error);
        if matches!(verdict, Verdict::Reconnect | Verdict::OtherServer) {
            self.disconnect(node, &connection);
        }
        node.note(verdict == Verdict::Reconnect);
        Err(Failure { is_unresolved: verdict == Verdict::Reconnect && connection.initialized(), error, verdict })
    }

    /// Errors that are values may show that another server is the primary by now: the next request connects anew.
    fn look_for_a_failover(&self, node: &Node, connection: &Connection, value: &Value) {
        let Value::Array(values) = value else { return };
        let is_another = |value: &Value| match value {
            Value::ServerError(error) => error::judge(&error.clone().into()) == Verdict::OtherServer,
            _ => false,
        };
        // A member of a cluster says so of some slots, and goes on to serve the others.
        if !self.is_by_slot() && values.iter().any(is_another) {
            self.disconnect(node, connection);
        }
    }

    /// Whether it has to be on replicas before it counts.
    fn is_replicated(&self, message: Message<'_>) -> bool {
        let (Message::Run(requests) | Message::Ask(requests)) = message else { return false };
        self.config.wait_replicas > 0 && requests.iter().any(|request| replicas::is_grant(request.command))
    }

    async fn send_on(
        &self,
        node: &Arc<Node>,
        connection: &Connection,
        message: Message<'_>,
    ) -> Result<Value, RedisError> {
        let mut connection = connection.get_or_try_init(|| self.connect(node)).await?.connection.clone();
        match message {
            Message::Run(_) if self.is_by_slot() && self.map.is_unknown() => Err(error::in_cluster_mode()),
            Message::Run(requests) => self.run_scripts(node, connection, requests, &[]).await.map(Value::Array),
            Message::Ask(requests) => {
                let asking = [redis::cmd("ASKING")];
                self.run_scripts(node, connection, requests, &asking).await.map(Value::Array)
            }
            Message::Plain([]) => Ok(Value::Nil),
            Message::Plain(commands) => {
                let mut all = redis::Pipeline::with_capacity(commands.len());
                for command in commands {
                    all.add_command(command.clone());
                }
                connection.send_packed_commands(&all, 0, commands.len()).await.map(Value::Array)
            }
            Message::LoadScript => self.load_script_on(connection).await.map(|_| Value::Nil),
        }
    }

    /// Runs each, after what has to come `before` each.
    async fn run_scripts(
        &self,
        node: &Node,
        mut connection: MultiplexedConnection,
        requests: &[&Request],
        before: &[Cmd],
    ) -> Result<Vec<Value>, RedisError> {
        let known = self.script.lock().clone();
        let script = match known {
            Some(script) => script,
            None => self.load_script_on(connection.clone()).await?,
        };
        let mut all = redis::Pipeline::with_capacity(requests.len());
        for request in requests {
            for command in before {
                all.add_command(command.clone());
            }
            all.add_command(self.evalsha(&script, node, request));
        }
        let waits = self.is_replicated(Message::Run(requests));
        if waits {
            all.add_command(replicas::wait(&self.config));
        }
        let count = requests.len() * (1 + before.len()) + usize::from(waits);
        let mut values = connection.send_packed_commands(&all, 0, count).await?;
        if values.iter().any(is_without_script) {
            self.load_script_on(connection.clone()).await?;
            values = connection.send_packed_commands(&all, 0, count).await?;
        }
        if waits {
            let reached = values.pop();
            replicas::check(&self.config, &values, reached.as_ref())?;
        }
        let every = 1 + before.len();
        Ok(values.into_iter().skip(before.len()).step_by(every).collect())
    }

    async fn load_script_on(&self, mut connection: MultiplexedConnection) -> Result<String, RedisError> {
        let script: String = redis::cmd("SCRIPT").arg("LOAD").arg(SCRIPT).query_async(&mut connection).await?;
        *self.script.lock() = Some(script.clone());
        Ok(script)
    }

    fn evalsha(&self, script: &str, node: &Node, request: &Request) -> Cmd {
        let mut run = redis::cmd("EVALSHA");
        run.arg(script).arg(request.locks.len()).arg(&request.locks).arg(request.command);
        if self.is_by_slot() {
            run.arg(self.namespace_at(node, request)).arg("");
        } else {
            run.arg(&self.config.namespace).arg(self.config.database);
        }
        for argument in &request.arguments {
            run.arg(argument);
        }
        run
    }

    /// The namespace, what its keys in the request's slot begin with, and in one of this member's.
    fn namespace_at(&self, node: &Node, request: &Request) -> String {
        let slot = request.locks.first().map(|lock| slots::slot(lock));
        let marker = self.map.marker(node).or(slot).unwrap_or_default();
        let prefix = |slot| slots::prefix(&self.config.namespace, slot);
        format!("{}\n{}\n{}", self.config.namespace, prefix(slot.unwrap_or(marker)), prefix(marker))
    }

    /// A new connection, and what its server says of itself.
    async fn connect(&self, node: &Arc<Node>) -> Result<Made, RedisError> {
        let (made, greeting) = self.connect_as(node, ProtocolVersion::RESP2, |settings| settings).await?;
        let Made { mut connection, endpoint } = made;
        let greeting = match greeting {
            Some(greeting) => greeting,
            None => Greeting::ask(&mut connection, "2").await?,
        };
        self.note_mode(greeting.is_cluster);
        Ok(Made { connection, endpoint })
    }

    /// A new connection to the server. Of a primary that sentinels name, it says itself that it is one.
    pub(super) async fn connect_as(
        &self,
        node: &Arc<Node>,
        protocol: ProtocolVersion,
        adapt: impl FnOnce(AsyncConnectionConfig) -> AsyncConnectionConfig,
    ) -> Result<(Made, Option<Greeting>), RedisError> {
        if let Some(endpoint) = &node.endpoint {
            let settings = adapt(connect::settings(&self.config, endpoint));
            let place = (&self.config, &self.world);
            let connection = connect::to_server(place, endpoint, protocol, &settings).await?;
            return Ok((Made { connection, endpoint: endpoint.clone() }, None));
        }
        let endpoint = self.primary(Asked::Most).await?;
        let settings = adapt(connect::settings(&self.config, &endpoint));
        let place = (&self.config, &self.world);
        let mut connection = connect::to_server(place, &endpoint, protocol, &settings).await?;
        let version = if protocol == ProtocolVersion::RESP3 { "3" } else { "2" };
        let greeting = Greeting::ask(&mut connection, version).await?;
        if greeting.is_replica {
            return Err(error::no_primary(&format!("{endpoint}, which the sentinels name, says that it is a replica")));
        }
        // It may have answered late, and another one was promoted meanwhile.
        if self.sentinels.as_ref().and_then(Sentinels::known).is_some_and(|known| known != endpoint) {
            return Err(error::no_primary(&format!("{endpoint} was followed by another server")));
        }
        Ok((Made { connection, endpoint }, Some(greeting)))
    }

    /// Whether the connection leads to a server that was followed by another one.
    fn is_former(&self, node: &Node, connection: &Connection) -> bool {
        let known = || self.sentinels.as_ref().and_then(Sentinels::known);
        let leads_elsewhere = |made: &Made| known().is_some_and(|known| known != made.endpoint);
        node.endpoint.is_none() && (!node.is_current(connection) || connection.get().is_some_and(leads_elsewhere))
    }

    /// Where the primary is, by the sentinels. Connections to another one are given up.
    pub(super) async fn primary(&self, asked: Asked) -> Result<String, RedisError> {
        let Some(sentinels) = &self.sentinels else { return Err(error::no_primary("no sentinel is named")) };
        let (endpoint, is_another) = sentinels.find(&self.config, &self.world, asked).await?;
        if is_another {
            tracing::debug!(target: TARGET, endpoint, "the sentinels name another primary");
            self.seeds.iter().for_each(|node| node.disconnect_all());
            self.note_disconnected();
            self.map.note_change();
        }
        Ok(endpoint)
    }

    /// The next request takes a new connection, unless there is one already.
    fn disconnect(&self, node: &Node, connection: &Connection) {
        if node.disconnect(connection) {
            self.note_disconnected();
        }
    }
}

fn is_without_script(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if error.kind() == Some(redis::ServerErrorKind::NoScript))
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::super::config::{Config, Deployment};
    use super::super::fakes;
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::sync::Notify;

    /// The former primary answers the first question of a connection when another one has been promoted.
    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_made_during_a_failover_leads_to_no_former_primary() {
        let (connecting, answers) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let is_promoted = Arc::new(AtomicBool::new(false));
        let (said, late, promoted) = (Arc::clone(&connecting), Arc::clone(&answers), Arc::clone(&is_promoted));
        let world = fakes::world(move |endpoint, command| {
            let (said, late) = (Arc::clone(&said), Arc::clone(&late));
            let (primary, epoch) = if promoted.load(Ordering::SeqCst) { ("b", 1) } else { ("a", 0) };
            async move {
                match (endpoint.as_str(), command.as_str()) {
                    ("sentinel:1", _) => fakes::sentinel(&command, primary, epoch),
                    ("a:1", "HELLO 2") => {
                        said.notify_one();
                        late.notified().await;
                        fakes::texts(&["role", "master"])
                    }
                    (_, "HELLO 2") => fakes::texts(&["role", "master"]),
                    _ => fakes::texts(&[&endpoint]),
                }
            }
        });
        let deployment = Deployment::Sentinel { primary: "main".to_owned(), credentials: None };
        let config = Config { endpoints: vec!["sentinel:1".to_owned()], deployment, ..Config::local() };
        let client = Client::new(config, &world).unwrap();
        let who = [redis::cmd("WHO")];
        let ask = || client.attempt(&client.seeds[0], client.config.request_timeout(), Message::Plain(&who));
        let fail_over = async {
            connecting.notified().await;
            is_promoted.store(true, Ordering::SeqCst);
            assert_eq!(client.primary(Asked::All).await.unwrap(), "b:1");
            answers.notify_one();
        };
        let (late, ()) = tokio::join!(ask(), fail_over);
        let failure = late.expect_err("the former primary was asked");
        assert!(failure.verdict == Verdict::OtherServer && !failure.is_unresolved, "{}", failure.error);
        let answer = ask().await.unwrap_or_else(|failure| panic!("{}", failure.error));
        assert!(format!("{answer:?}").contains("b:1"), "{answer:?}");
    }
}
