//! The client of the database: a few connections for what callers wait for, and one for upkeep, so that no renewal waits behind them.

use super::config::{self, Config, Layout};
use super::connection::{Connections, Reply};
use super::error::{Failure, Verdict};
use super::found::{FIND, Found};
use super::row::{Micros, Row, column};
use super::servers::Servers;
use super::sessions::Sessions;
use super::sql::{Kind, Statements};
use super::table::{LONGEST_NAME, Table};
use crate::contract::{Backoff, Entry};
use crate::values::error::{Error, ErrorKind};
use crate::values::key::Key;
use crate::values::mutex::Mutex;
use crate::world::World;
use crate::world::clock::AtomicMoment;
use mysql_async::Value;
use std::sync::Arc;
use std::time::Duration;

/// How many connections there are at most for what callers wait for. Another is opened only while all are in use.
const CONNECTIONS: usize = 3;

/// How often one request is sent before it counts as failed, where a connection breaks, and where the server rolls it back. Every
/// statement can be repeated.
const ATTEMPTS: u32 = 2;
const ROLLED_BACK: u32 = 6;

/// The pauses before a statement that was rolled back, as by a deadlock.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(40);

/// What all sessions of a store share.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) world: World,
    pub(super) work: Connections,
    pub(super) upkeep: Connections,
    pub(super) sessions: Sessions,
    servers: Arc<Servers>,
    wanted: Table,
    found: Mutex<Option<Arc<InUse>>>,
    /// One request at a time looks for the table.
    finding: tokio::sync::Mutex<()>,
    /// When to delete old rows next, and from which name on.
    pub(super) clean_at: AtomicMoment,
    pub(super) cleaned_to: Mutex<Option<String>>,
}

/// The table that is used, and its statements.
#[derive(Debug)]
pub(super) struct InUse {
    /// As statements have it.
    pub(super) table: String,
    pub(super) statements: Statements,
    /// The server's.
    pub(super) version: Arc<str>,
    /// How many characters `locked_by` has room for, in ShedLock's table.
    pub(super) room: Option<usize>,
}

/// The answer to one request.
pub(super) struct Answer {
    pub(super) reply: Reply,
    /// An earlier attempt had no definite answer and may still be carried out.
    pub(super) is_unresolved: bool,
}

/// The rows of some names, as they were at one moment of the server's.
pub(super) struct Seen {
    pub(super) rows: Vec<Row>,
    pub(super) now: Micros,
}

impl Client {
    pub(super) fn new(config: Config, world: &World) -> Result<Self, Error> {
        let wanted = config::check(&config)?;
        let servers = Arc::new(Servers::new(config, world)?);
        Ok(Self {
            world: world.clone(),
            work: Connections::new(Arc::clone(&servers), CONNECTIONS),
            upkeep: Connections::new(Arc::clone(&servers), 1),
            sessions: Sessions::default(),
            servers,
            wanted,
            found: Mutex::default(),
            finding: tokio::sync::Mutex::default(),
            clean_at: AtomicMoment::new(world.now()),
            cleaned_to: Mutex::default(),
        })
    }

    pub(super) fn config(&self) -> &Config {
        &self.servers.config
    }

    /// The name of the row for `key`.
    pub(super) fn name(&self, key: &Key) -> Result<String, Error> {
        let name = format!("{}{key}", self.config().namespace);
        if name.len() > LONGEST_NAME {
            let message = format!("the key has {} bytes with its namespace, of at most {LONGEST_NAME}", name.len());
            return Err(Error::new(ErrorKind::InvalidKey, message));
        }
        Ok(name)
    }

    /// The names of the rows for an entry, in its order.
    pub(super) fn names(&self, entry: &Entry) -> Result<Vec<String>, Error> {
        entry.keys().map(|key| self.name(key)).collect()
    }

    /// Sends a statement for so many rows. It must be repeatable: an abandoned attempt may still be carried out.
    pub(super) async fn ask(
        &self,
        connections: &Connections,
        (kind, rows): (Kind, usize),
        values: &[Value],
    ) -> Result<Answer, Failure> {
        self.ask_within(self.config().request_timeout(), connections, (kind, rows), values).await
    }

    /// As [`ask`](Client::ask), with another time limit for each attempt.
    pub(super) async fn ask_within(
        &self,
        limit: Duration,
        connections: &Connections,
        (kind, rows): (Kind, usize),
        values: &[Value],
    ) -> Result<Answer, Failure> {
        self.ask_text(limit, connections, |in_use| in_use.statements.text(kind, rows), values).await
    }

    /// As [`ask_within`](Client::ask_within), with the statement that `text` makes for the table.
    pub(super) async fn ask_text(
        &self,
        limit: Duration,
        connections: &Connections,
        text: impl Fn(&InUse) -> Arc<str>,
        values: &[Value],
    ) -> Result<Answer, Failure> {
        let mut is_unresolved = false;
        let mut was_found_again = false;
        loop {
            let in_use = self.in_use(connections).await.map_err(|failure| failure.with_unresolved(is_unresolved))?;
            match self.attempt(limit, connections, &text(&in_use), values, &mut is_unresolved).await {
                Ok(reply) => return Ok(Answer { reply, is_unresolved }),
                Err(failure) if failure.verdict == Verdict::FindTable && !was_found_again => {
                    self.forget(&in_use);
                    was_found_again = true;
                }
                Err(failure) => return Err(failure.with_unresolved(is_unresolved)),
            }
        }
    }

    /// Sends a statement of which nothing is known but its text.
    pub(super) async fn attempt(
        &self,
        limit: Duration,
        connections: &Connections,
        text: &Arc<str>,
        values: &[Value],
        is_unresolved: &mut bool,
    ) -> Result<Reply, Failure> {
        let (mut broken, mut rolled_back) = (0, 0);
        let mut pauses = Backoff::new(&self.world, SHORTEST_PAUSE, LONGEST_PAUSE);
        loop {
            let mut was_sent = false;
            let answer = connections.ask(text, values, limit, &mut was_sent).await;
            let failure = match answer.and_then(takes_writes) {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            *is_unresolved |= was_sent && failure.is_open();
            match failure.verdict {
                Verdict::Reconnect | Verdict::ReadOnly => {
                    connections.forget();
                    broken += 1;
                }
                Verdict::Retry => {
                    rolled_back += 1;
                    pauses.wait().await;
                }
                // The connection may have been made when the user had fewer rights.
                Verdict::Fail(ErrorKind::Unauthorized) if was_sent => {
                    connections.forget();
                    broken += 1;
                }
                _ => return Err(failure),
            }
            if broken == ATTEMPTS || rolled_back == ROLLED_BACK {
                return Err(failure);
            }
        }
    }

    /// The table, which is looked for once, and created where it does not exist.
    pub(super) async fn in_use(&self, connections: &Connections) -> Result<Arc<InUse>, Failure> {
        if let Some(found) = self.found.lock().clone() {
            return Ok(found);
        }
        let _one = self.finding.lock().await;
        if let Some(found) = self.found.lock().clone() {
            return Ok(found);
        }
        let found = match self.find(connections).await? {
            Some(found) => found,
            None => {
                self.create_table(connections).await?;
                let gone =
                    || Failure::unusable(ErrorKind::Unavailable, "the table was created, and is not there".to_owned());
                self.find(connections).await?.ok_or_else(gone)?
            }
        };
        let in_use = Arc::new(InUse {
            table: self.wanted.quoted.clone(),
            statements: Statements::of(&self.wanted, &found.version),
            version: found.version.as_str().into(),
            room: found.room("locked_by"),
        });
        *self.found.lock() = Some(Arc::clone(&in_use));
        Ok(in_use)
    }

    async fn find(&self, connections: &Connections) -> Result<Option<Found>, Failure> {
        let values = [Value::from(&self.wanted.database), Value::from(&self.wanted.name)];
        let limit = self.config().request_timeout();
        let reply = self.attempt(limit, connections, &FIND.into(), &values, &mut false).await?;
        Found::of(&reply.rows, &self.wanted, self.config().layout)
            .map_err(|error| Failure::unusable(error.kind(), error.to_string()))
    }

    fn forget(&self, gone: &Arc<InUse>) {
        let mut found = self.found.lock();
        if found.as_ref().is_some_and(|found| Arc::ptr_eq(found, gone)) {
            *found = None;
        }
    }

    /// Creates the table, which many clients may do at once.
    async fn create_table(&self, connections: &Connections) -> Result<(), Failure> {
        let table = &self.wanted;
        if self.config().layout == Layout::ShedLock {
            let message = format!(
                "the database has no table {}, or not for this user, and it is for the Java service to have one: {}",
                table.quoted,
                table.shedlock_creation()
            );
            return Err(Failure::unusable(ErrorKind::Unsupported, message));
        }
        let creation = table.creation();
        let limit = self.config().request_timeout();
        match self.attempt(limit, connections, &creation.as_str().into(), &[], &mut false).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.code() == 1050 => Ok(()),
            Err(failure) if matches!(failure.code(), 1044 | 1142 | 1227) => {
                Err(failure.no_table(&self.config().hosts.join(","), &creation))
            }
            Err(failure) => Err(failure),
        }
    }
}

/// Fails if the answer of a server that only reads is among the rows: a proxy may send these elsewhere than what is written.
fn takes_writes(reply: Reply) -> Result<Reply, Failure> {
    match reply.rows.first() {
        Some(row) if row.get_opt("writes").is_some_and(|writes| writes == Ok(0_i64)) => {
            Err(Failure::read_only(&reply.endpoint))
        }
        _ => Ok(reply),
    }
}

impl Seen {
    pub(super) fn read(reply: &Reply) -> Result<Self, Failure> {
        let unusable = |error: Error| Failure::unusable(error.kind(), error.to_string());
        let named = reply.rows.iter().filter(|row| !matches!(row.get_opt("name"), Some(Ok(Value::NULL))));
        let rows: Result<Vec<Row>, Error> = named.map(Row::read).collect();
        let now = reply.rows.first().map_or(Ok(0), |row| column(row, "now"));
        Ok(Self { rows: rows.map_err(unusable)?, now: now.map_err(unusable)? })
    }
}
