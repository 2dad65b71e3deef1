//! The client of the database: two connections, one for what callers wait for and one for upkeep and notifications.
//!
//! They are two, so that a renewal never waits behind a request for a row that another transaction keeps locked.

use super::config::Config;
use super::connection::{Connection, Value};
use super::error::{Failure, Verdict};
use super::notifications::Notifications;
use super::servers::{Event, Listen, Servers};
use super::sql::Statements;
use super::table::Table;
use crate::values::error::Error;
use crate::values::key::Key;
use crate::values::target::TARGET;
use crate::world::World;
use std::sync::{Arc, Weak};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// How often one request is sent before it counts as failed. Every statement can be repeated.
const ATTEMPTS: u32 = 2;

/// What all sessions of a store share.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) world: World,
    pub(super) table: Table,
    pub(super) statements: Statements,
    pub(super) notifications: Notifications,
    pub(super) work: Connection,
    pub(super) upkeep: Connection,
    servers: Arc<Servers>,
}

/// The answer to one request.
pub(super) struct Answer {
    pub(super) rows: Vec<Row>,
    /// An earlier attempt had no definite answer and may still be carried out.
    pub(super) is_unresolved: bool,
}

impl Client {
    pub(super) fn new(config: Config, world: &World) -> Result<Arc<Self>, Error> {
        let table = config.check()?;
        let layout = config.layout;
        let servers = Arc::new(Servers::new(config, world)?);
        let statement = format!("LISTEN \"{}\"", table.channel.replace('"', "\"\""));
        Ok(Arc::new_cyclic(|client: &Weak<Self>| {
            // Weak: the client owns the connection.
            let client = client.clone();
            let on_event = move |event: Event<'_>| {
                if let Some(client) = client.upgrade() {
                    client.handle(event);
                }
            };
            let listen = layout.has_queue().then(|| Listen::new(statement, Arc::new(on_event)));
            Self {
                world: world.clone(),
                statements: layout.statements(&table),
                notifications: Notifications::default(),
                work: Connection::new(Arc::clone(&servers), None),
                upkeep: Connection::new(Arc::clone(&servers), listen),
                servers,
                table,
            }
        }))
    }

    pub(super) fn config(&self) -> &Config {
        &self.servers.config
    }

    /// The name of the row for `key`.
    pub(super) fn name(&self, key: &Key) -> Result<String, Error> {
        let name = format!("{}{key}", self.config().namespace);
        self.config().layout.check_name(&name)?;
        Ok(name)
    }

    /// Sends one statement, which must be repeatable: an abandoned attempt may still be carried out.
    pub(super) async fn ask(
        &self,
        connection: &Connection,
        statement: &str,
        values: &[Value<'_>],
    ) -> Result<Answer, Failure> {
        let mut is_unresolved = false;
        match self.attempt(connection, statement, values, &mut is_unresolved).await {
            Ok(rows) => Ok(Answer { rows, is_unresolved }),
            Err(failure) => Err(failure.with_unresolved(is_unresolved)),
        }
    }

    async fn attempt(
        &self,
        connection: &Connection,
        statement: &str,
        values: &[Value<'_>],
        is_unresolved: &mut bool,
    ) -> Result<Vec<Row>, Failure> {
        let limit = self.config().request_timeout();
        let (mut failed, mut was_created) = (0, false);
        loop {
            let open = connection.open().await?;
            let failure = match open.ask(statement, values, limit).await {
                Ok(rows) => return Ok(rows),
                Err(failure) => failure,
            };
            match failure.verdict {
                Verdict::CreateTable if !was_created => {
                    self.create_table(connection, failure).await?;
                    was_created = true;
                    continue;
                }
                Verdict::Reconnect => {
                    *is_unresolved = true;
                    connection.abandon(&open);
                }
                Verdict::Retry => {}
                Verdict::CreateTable | Verdict::Fail(_) => return Err(failure),
            }
            failed += 1;
            if failed == ATTEMPTS {
                return Err(failure);
            }
        }
    }

    /// Creates the table, which many clients may do at once.
    async fn create_table(&self, connection: &Connection, missing: Failure) -> Result<(), Failure> {
        let (open, limit) = (connection.open().await?, self.config().request_timeout());
        match open.execute(&self.statements.creation, limit).await {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => match error.code().map(tokio_postgres::error::SqlState::code) {
                // Another was faster: `IF NOT EXISTS` looks before it takes the name.
                Some("42P07" | "23505" | "42710") => Ok(()),
                Some("42501" | "25006") => Err(missing.no_table(&open.endpoint, &self.statements.creation)),
                _ => Err(Failure::reported(&open.endpoint, error)),
            },
            None => {
                connection.abandon(&open);
                Err(Failure::timeout(&open.endpoint, limit))
            }
        }
    }

    fn handle(self: &Arc<Self>, event: Event<'_>) {
        match event {
            Event::Opened => self.world.spawn(Arc::clone(self).catch_up()),
            Event::Closed => self.notifications.stopped(),
            Event::Notification(payload) => self.notifications.receive(payload, self.world.now()),
        }
    }

    /// After a connection was made: finds out what was missed, and whether notifications arrive.
    async fn catch_up(self: Arc<Self>) {
        self.notifications.catch_up().await;
        let probe = self.notifications.expect_probe(self.world.bits());
        // By the other connection: through a pool both may share one of the server's, and a notification of one's own
        // arrives even where those of others do not.
        let values = [(&self.table.channel as _, Type::TEXT), (&probe as _, Type::TEXT)];
        if let Err(failure) = self.ask(&self.work, "SELECT pg_notify($1, $2)", &values).await {
            tracing::debug!(target: TARGET, error = %Error::from(failure).chain(), "waiters poll instead of listening");
        }
    }
}
