//! The client of the database: one connection for what callers wait for, one for upkeep and notifications, and where it is
//! needed one for what waits for a row.
//!
//! They are several, so that no request waits behind one for a row that another transaction keeps locked: on the first two
//! nothing waits for a row for more than a moment.

use super::config::{self, Config};
use super::connection::{Connection, Value};
use super::error::{Failure, Verdict};
use super::found::{FIND, Found};
use super::notifications::Notifications;
use super::servers::{Event, Listen, Servers};
use super::sql::Statements;
use super::table::{Table, quoted};
use crate::contract::Entry;
use crate::values::error::{Error, ErrorKind};
use crate::values::key::Key;
use crate::values::mutex::Mutex;
use crate::values::target::TARGET;
use crate::world::World;
use crate::world::clock::AtomicMoment;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// How often one request is sent before it counts as failed. Every statement can be repeated.
const ATTEMPTS: u32 = 2;

/// How long a request waits for a row on a connection that others need, and on the one for such requests.
const MOMENT: &str = "20ms";
const LOCK_TIMEOUT: &str = "400ms";

/// What all sessions of a store share.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) world: World,
    pub(super) notifications: Notifications,
    pub(super) work: Connection,
    pub(super) upkeep: Connection,
    blocking: Connection,
    servers: Arc<Servers>,
    /// As the URL names it.
    wanted: Table,
    found: Mutex<Option<Arc<InUse>>>,
    /// One request at a time looks for the table.
    finding: tokio::sync::Mutex<()>,
    /// When to delete old rows next.
    pub(super) clean_at: AtomicMoment,
}

/// The table that is used, and its statements.
#[derive(Debug)]
pub(super) struct InUse {
    /// Quoted.
    pub(super) table: String,
    pub(super) statements: Statements,
    pub(super) may_delete: bool,
}

/// The answer to one request.
pub(super) struct Answer {
    pub(super) rows: Vec<Row>,
    /// An earlier attempt had no definite answer and may still be carried out.
    pub(super) is_unresolved: bool,
}

/// Which of the statements a request sends.
type Choice = fn(&Statements) -> &String;

impl Client {
    pub(super) fn new(config: Config, world: &World) -> Result<Arc<Self>, Error> {
        let wanted = config::check(&config)?;
        let layout = config.layout;
        let servers = Arc::new(Servers::new(config, world)?);
        let statement = format!("LISTEN {}", quoted(&wanted.channel));
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
                notifications: Notifications::default(),
                work: Connection::new(Arc::clone(&servers), None),
                upkeep: Connection::new(Arc::clone(&servers), listen),
                blocking: Connection::new(Arc::clone(&servers), None),
                servers,
                wanted,
                found: Mutex::default(),
                finding: tokio::sync::Mutex::default(),
                clean_at: AtomicMoment::new(world.now()),
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

    /// The name of the table, as a statement of whatever `search_path` has it.
    pub(super) fn table_in_use(&self) -> String {
        let found = self.found.lock();
        found.as_ref().map_or_else(|| self.wanted.quoted.clone(), |in_use| in_use.table.clone())
    }

    /// The names of the rows for an entry, in its order.
    pub(super) fn names(&self, entry: &Entry) -> Result<Vec<String>, Error> {
        entry.keys().map(|key| self.name(key)).collect()
    }

    /// Sends one statement that waits for no row. It must be repeatable: an abandoned attempt may still be carried out.
    pub(super) async fn ask(
        &self,
        connection: &Connection,
        choice: Choice,
        values: &[Value<'_>],
    ) -> Result<Answer, Failure> {
        self.ask_within(self.config().request_timeout(), connection, choice, values).await
    }

    /// As [`ask`](Client::ask), with another time limit for each attempt.
    pub(super) async fn ask_within(
        &self,
        limit: Duration,
        connection: &Connection,
        choice: Choice,
        values: &[Value<'_>],
    ) -> Result<Answer, Failure> {
        let mut is_unresolved = false;
        let mut was_found_again = false;
        loop {
            let in_use = self.in_use(connection).await.map_err(|failure| failure.with_unresolved(is_unresolved))?;
            let text = choice(&in_use.statements);
            match self.attempt(limit, connection, text, values, &mut is_unresolved).await {
                Ok(rows) => return Ok(Answer { rows, is_unresolved }),
                Err(failure) if failure.verdict == Verdict::FindTable && !was_found_again => {
                    self.forget(&in_use);
                    was_found_again = true;
                }
                Err(failure) => return Err(failure.with_unresolved(is_unresolved)),
            }
        }
    }

    /// Sends a statement that changes one row; its last parameter, which `values` do not have, is how long it may wait for
    /// that row.
    pub(super) async fn change(&self, choice: Choice, values: &[Value<'_>]) -> Result<Answer, Failure> {
        match self.ask(&self.work, choice, &with_lock_timeout(values, &MOMENT)).await {
            Err(failure) if failure.verdict == Verdict::RowLocked => {
                let was_unresolved = failure.is_unresolved;
                let answer = self.ask(&self.blocking, choice, &with_lock_timeout(values, &LOCK_TIMEOUT)).await;
                let answer = answer.map_err(|failure| failure.with_unresolved(was_unresolved))?;
                Ok(Answer { is_unresolved: answer.is_unresolved || was_unresolved, ..answer })
            }
            answer => answer,
        }
    }

    /// As [`change`](Client::change), of several rows, and only if none of them is locked for longer than a moment.
    pub(super) async fn change_if_unlocked(&self, choice: Choice, values: &[Value<'_>]) -> Result<Answer, Failure> {
        self.ask(&self.work, choice, &with_lock_timeout(values, &MOMENT)).await
    }

    /// As [`change`](Client::change), for a moment only, among upkeep.
    pub(super) async fn change_in_upkeep(&self, choice: Choice, values: &[Value<'_>]) -> Result<Answer, Failure> {
        self.ask(&self.upkeep, choice, &with_lock_timeout(values, &MOMENT)).await
    }

    /// As [`change`](Client::change), of a statement that notifies waiters by the channel that comes at this place among
    /// `values`: by none, where the server has no room for notifications. They look by themselves then, which is late but
    /// better than a lock that cannot be released.
    pub(super) async fn change_and_notify(
        &self,
        choice: Choice,
        values: &[Value<'_>],
        place: usize,
    ) -> Result<Answer, Failure> {
        let (before, after) = values.split_at(place);
        let with = |channel| [before, &[(channel, Type::TEXT)], after].concat();
        match self.change(choice, &with(&self.wanted.channel)).await {
            Err(failure) if failure.verdict == Verdict::NoNotification => {
                self.change(choice, &with(&None::<&str>)).await
            }
            answer => answer,
        }
    }

    /// Sends a statement of which nothing is known but its text.
    pub(super) async fn attempt(
        &self,
        limit: Duration,
        connection: &Connection,
        statement: &str,
        values: &[Value<'_>],
        is_unresolved: &mut bool,
    ) -> Result<Vec<Row>, Failure> {
        let mut failed = 0;
        loop {
            let turn = connection.turn().await?;
            let open = Arc::clone(turn.open());
            let failure = match turn.ask(statement, values, limit).await {
                Ok(rows) => return Ok(rows),
                Err(failure) => failure,
            };
            *is_unresolved |= failure.is_open();
            match failure.verdict {
                Verdict::Reconnect => connection.abandon(&open),
                Verdict::Retry | Verdict::Isolate | Verdict::Unprepared => {}
                _ => return Err(failure),
            }
            failed += 1;
            if failed == ATTEMPTS {
                return Err(failure);
            }
        }
    }

    /// The table, which is looked for once, and created where it does not exist.
    pub(super) async fn in_use(&self, connection: &Connection) -> Result<Arc<InUse>, Failure> {
        if let Some(found) = self.found.lock().clone() {
            return Ok(found);
        }
        let _one = self.finding.lock().await;
        if let Some(found) = self.found.lock().clone() {
            return Ok(found);
        }
        let found = match self.find(connection).await? {
            Some(found) => found,
            None => {
                self.create_table(connection).await?;
                // Another role may have created one at the same time, elsewhere: whoever looks last sees both.
                let gone =
                    || Failure::unusable(ErrorKind::Unavailable, "the table was created, and is not there".to_owned());
                self.find(connection).await?.ok_or_else(gone)?
            }
        };
        let table = found.table();
        let in_use = Arc::new(InUse {
            statements: self.config().layout.statements(&table, found.room("locked_by")),
            table: table.quoted,
            may_delete: found.may_delete,
        });
        *self.found.lock() = Some(Arc::clone(&in_use));
        Ok(in_use)
    }

    async fn find(&self, connection: &Connection) -> Result<Option<Found>, Failure> {
        let layout = self.config().layout;
        let names = layout.spellings(&self.wanted.name);
        let schemas = self.wanted.schema.as_deref().map(|schema| layout.spellings(schema));
        let mark = layout.mark();
        let values = [(&names as _, Type::TEXT_ARRAY), (&schemas as _, Type::TEXT_ARRAY), (&mark as _, Type::TEXT)];
        let rows = self.attempt(self.config().request_timeout(), connection, FIND, &values, &mut false).await?;
        Found::one_of(&rows, layout).map_err(|error| Failure::unusable(error.kind(), error.to_string()))
    }

    fn forget(&self, gone: &Arc<InUse>) {
        let mut found = self.found.lock();
        if found.as_ref().is_some_and(|found| Arc::ptr_eq(found, gone)) {
            *found = None;
        }
    }

    /// Creates the table, which many clients may do at once.
    async fn create_table(&self, connection: &Connection) -> Result<(), Failure> {
        let (turn, limit) = (connection.turn().await?, self.config().request_timeout());
        let open = Arc::clone(turn.open());
        let layout = self.config().layout;
        let creation = layout.creation(&self.wanted);
        if !layout.creates_table() {
            let message = format!(
                "the database has no table {}, and it is for the Java service to have one: {creation}",
                self.wanted.quoted
            );
            return Err(Failure::unusable(ErrorKind::Unsupported, message));
        }
        match turn.execute(&creation, limit).await {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => {
                let failure = Failure::reported(&open.endpoint, &error);
                match failure.code() {
                    // Another was faster: `IF NOT EXISTS` looks before it takes the name.
                    Some("42P07" | "23505" | "42710") => Ok(()),
                    Some("42501") => Err(failure.no_table(&open.endpoint, &creation)),
                    _ => Err(failure),
                }
            }
            None => {
                connection.abandon(&open);
                Err(Failure::timeout(&open.endpoint, limit))
            }
        }
    }

    fn handle(self: &Arc<Self>, event: Event<'_>) {
        match event {
            Event::Opened(is_listening) => self.world.spawn(Arc::clone(self).catch_up(is_listening)),
            Event::Closed => {
                self.notifications.stopped();
            }
            Event::Notification(payload) => self.notifications.receive(payload, self.world.now()),
        }
    }

    /// After a connection was made: finds out what was missed, and whether notifications arrive.
    async fn catch_up(self: Arc<Self>, is_listening: bool) {
        self.notifications.catch_up().await;
        if is_listening {
            self.probe().await;
        }
    }

    /// Waiters have found what no notification announced: they poll from now on, unless one that is sent now arrives.
    pub(super) fn recheck_notifications(self: &Arc<Self>) {
        if self.notifications.stopped() {
            let client = Arc::clone(self);
            self.world.spawn(async move { client.probe().await });
        }
    }

    async fn probe(&self) {
        let probe = self.notifications.expect_probe(self.world.bits());
        // By the other connection: through a pool both may share one of the server's, and a notification of one's own
        // arrives even where those of others do not.
        let values = [(&self.wanted.channel as _, Type::TEXT), (&probe as _, Type::TEXT)];
        let limit = self.config().request_timeout();
        let sent = self.attempt(limit, &self.work, "SELECT pg_notify($1, $2)", &values, &mut false).await;
        if let Err(failure) = sent {
            tracing::debug!(target: TARGET, error = %Error::from(failure).chain(), "waiters poll instead of listening");
        }
    }
}

/// The values of a statement, the last of which is how long it may wait for a row.
fn with_lock_timeout<'a>(values: &[Value<'a>], lock_timeout: &'a &'a str) -> Vec<Value<'a>> {
    values.iter().cloned().chain([(lock_timeout as _, Type::TEXT)]).collect()
}
