//! The store: two connections, one for what callers wait for and one for upkeep and notifications.
//!
//! They are two so that a renewal never stands behind a row that somebody else keeps locked.

use super::config::{Config, Layout};
use super::hub::Hub;
use super::lane::{Lane, News, Servers, Tell};
use super::shedlock;
use super::sql::Statements;
use super::status::{Failure, Verdict};
use super::table::Table;
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::Holder;
use crate::values::key::Key;
use std::sync::{Arc, Weak};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql, Type};

/// How often one request is tried before it counts as failed. Every statement bears being repeated.
const ATTEMPTS: u32 = 2;

/// One value of a statement, with its type: then it takes one round trip, and works behind a pool of connections.
pub(super) type Value<'a> = (&'a (dyn ToSql + Sync), Type);

/// What all sessions of a backend share.
#[derive(Debug)]
pub(super) struct Inner {
    servers: Arc<Servers>,
    pub(super) table: Table,
    pub(super) sql: Statements,
    pub(super) hub: Hub,
    pub(super) work: Lane,
    pub(super) upkeep: Lane,
}

/// An answer.
pub(super) struct Answer {
    pub(super) rows: Vec<Row>,
    /// An earlier attempt was given up, and may still take effect.
    pub(super) doubtful: bool,
}

/// A column of an answer, which somebody's own table might have in another type.
pub(super) fn column<'a, T: FromSql<'a>>(row: &'a Row, name: &str) -> Result<T, Error> {
    row.try_get(name).map_err(|cause| {
        let why = "the table is not one of this crate's; name another by `?table=…`";
        Error::new(ErrorKind::Unsupported, why).with_source(cause)
    })
}

impl Inner {
    pub(super) fn new(config: Config) -> Result<Arc<Self>, Error> {
        let table = config.check()?;
        let listens = config.layout == Layout::Own;
        let servers = Arc::new(Servers::new(config)?);
        let listen = format!("LISTEN \"{}\"", table.channel.replace('"', "\"\""));
        Ok(Arc::new_cyclic(|store: &Weak<Self>| {
            let store = store.clone();
            // Weak: a connection must not keep alive what keeps it.
            let tell: Tell = Arc::new(move |news: News<'_>| {
                if let Some(store) = store.upgrade() {
                    Hub::news(&store, news);
                }
            });
            Self {
                sql: match servers.config.layout {
                    Layout::Own => Statements::of(&table),
                    Layout::ShedLock => shedlock::statements(&table),
                },
                hub: Hub::default(),
                work: Lane::new(Arc::clone(&servers), None),
                // Nobody tells of anything in ShedLock's table.
                upkeep: Lane::new(Arc::clone(&servers), listens.then_some((listen, tell))),
                servers,
                table,
            }
        }))
    }

    pub(super) fn config(&self) -> &Config {
        &self.servers.config
    }

    /// What the row for `key` is called.
    pub(super) fn name(&self, key: &Key) -> Result<String, Error> {
        let name = format!("{}{key}", self.config().namespace);
        match self.config().layout {
            Layout::Own => {}
            Layout::ShedLock => shedlock::check(&name)?,
        }
        Ok(name)
    }

    /// What is stored of a holder.
    pub(super) fn record(&self, holder: &Holder) -> String {
        match self.config().layout {
            Layout::Own => String::from_utf8(holder.to_json()).unwrap_or_default(),
            Layout::ShedLock => shedlock::signature(holder),
        }
    }

    /// Who the holder is by what is stored.
    pub(super) fn holder(&self, record: Option<&str>) -> Holder {
        match self.config().layout {
            Layout::Own => Holder::from_json(record.unwrap_or_default().as_bytes()),
            Layout::ShedLock => shedlock::holder(record),
        }
    }

    /// One statement, which must bear being repeated: an attempt that was given up may still take effect.
    pub(super) async fn ask(&self, lane: &Lane, statement: &str, values: &[Value<'_>]) -> Result<Answer, Failure> {
        let limit = self.config().attempt();
        let (mut failed, mut doubtful, mut made) = (0, false, false);
        loop {
            let link = lane.link().await?;
            let failure = match link.ask(statement, values, limit).await {
                Some(Ok(rows)) => return Ok(Answer { rows, doubtful }),
                Some(Err(error)) => Failure::told(&link.endpoint, error),
                None => Failure::silent(&link.endpoint, limit),
            };
            match failure.verdict {
                Verdict::NoTable if !made => {
                    self.make_table(lane, failure).await?;
                    made = true;
                    continue;
                }
                Verdict::Elsewhere => {
                    doubtful = true;
                    lane.give_up(&link);
                }
                Verdict::Again => {}
                Verdict::NoTable | Verdict::Hopeless(_) => return Err(failure),
            }
            failed += 1;
            if failed == ATTEMPTS {
                return Err(failure);
            }
        }
    }

    /// Makes the table, as many may do at once.
    async fn make_table(&self, lane: &Lane, missing: Failure) -> Result<(), Failure> {
        let (link, limit) = (lane.link().await?, self.config().attempt());
        match tokio::time::timeout(limit, link.client.batch_execute(&self.sql.creation)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => match error.code().map(tokio_postgres::error::SqlState::code) {
                // Another was faster: "if not exists" looks before it takes the name.
                Some("42P07" | "23505" | "42710") => Ok(()),
                Some("42501" | "25006") => Err(missing.no_table(&link.endpoint, &self.sql.creation)),
                _ => Err(Failure::told(&link.endpoint, error)),
            },
            Err(_) => {
                lane.give_up(&link);
                Err(Failure::silent(&link.endpoint, limit))
            }
        }
    }
}
