//! A MariaDB server, behind an address that stays the same.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use support::OpenTransaction;
use support::cases::Program;
use support::mysql::{Binary, Mysql, Setup};
use support::proxy::Proxy;
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::lasting;
use super::log::FaultLog;
use super::observer::{Entry, pid_in};
use crate::history::Scope;
use crate::workers::all_keys;

pub mod fault;
mod statements;

pub use fault::{Fault, Forget, Right};

/// A server. Requests of the torture itself block their thread.
#[derive(Debug)]
pub struct MysqlServer {
    server: Mysql,
    /// Where the workers connect to.
    front: Proxy,
}

/// A TTL, in milliseconds: who holds what was forgotten finds out by the next renewal, or at the deadline.
const NOTICED_WITHIN: u64 = 3_000;

/// Follows the session of a hold that stays after that was closed.
const KEPT: &str = ".kept";

/// A row that somebody holds or waits for.
struct Row {
    name: String,
    /// Grows with each change.
    version: String,
    entry: String,
    record: String,
    queue: Vec<Value>,
    is_held: bool,
    now: i64,
}

impl MysqlServer {
    /// Starts it.
    #[must_use]
    pub fn start(binary: &Binary) -> Self {
        let server = binary.start(&Setup::default());
        Self { front: Proxy::to(server.address()), server }
    }

    /// The URL of its front.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mysql://app@{}/locks?sslmode=disable", self.front.addr())
    }

    /// The server's log.
    #[must_use]
    pub fn logs(&self) -> Vec<PathBuf> {
        vec![self.server.log().to_owned()]
    }

    /// The server, with the end of its log, if it has ended by itself.
    pub(super) fn ended_by_itself(&self) -> Option<String> {
        self.server.ended_by_itself()
    }

    /// Everything that holds or waits; `None` if the server does not answer, or has no table.
    pub(super) fn entries(&self) -> Option<Vec<Entry>> {
        let mut entries = Vec::new();
        for row in self.rows().ok()? {
            let mut add = |id: &str, record: &str| {
                let pid = pid_in(record)?;
                let name = format!("{}@{id}", row.name);
                entries.push(Entry { name, key: row.name.clone(), pid, request: Some(id.replacen(KEPT, "", 1)) });
                Some(())
            };
            if row.is_held {
                add(&row.entry, &row.record);
            }
            for own in row.queue.iter().filter(|own| own["u"].as_i64().is_some_and(|until| until > row.now)) {
                let id = format!("{}-{}", own["s"].as_str().unwrap_or_default(), own["n"]);
                add(&id, own["h"].as_str().unwrap_or_default());
            }
        }
        Some(entries)
    }

    /// Ends every hold and every wait of the process with this number, as somebody who changes rows by hand. A row that has
    /// changed since it was read, while the server was paused perhaps, stays as it is: others are in it now.
    pub(super) fn revoke(&self, pid: u32) {
        for row in self.rows().unwrap_or_default() {
            let is_its = |record: &str| pid_in(record) == Some(pid);
            let frees = row.is_held && is_its(&row.record);
            let others: Vec<&Value> = row.queue.iter().filter(|own| !own["h"].as_str().is_some_and(is_its)).collect();
            if frees || others.len() < row.queue.len() {
                let queue = if others.is_empty() { String::new() } else { serde_json::json!(others).to_string() };
                let _ = self.run(&statements::replace((&row.name, &row.version), frees, &queue));
            }
        }
    }

    /// What still is held or waited for, and rows that no lock has.
    pub(super) fn left_behind(&self) -> Vec<String> {
        let rows = match self.rows() {
            Ok(rows) => rows,
            Err(error) => return vec![error],
        };
        let mut left = Vec::new();
        for row in rows {
            left.extend(row.is_held.then(|| format!("{} is held", row.name)));
            let alive = row.queue.iter().filter(|own| own["u"].as_i64().is_some_and(|until| until > row.now));
            left.extend(alive.map(|own| format!("{} is waited for: {own}", row.name)));
        }
        let strangers = self.run(&statements::strangers(all_keys().len())).unwrap_or_else(|error| error);
        left.extend(strangers.lines().map(str::to_owned));
        left
    }

    /// Injects the fault, and returns when it is over.
    pub(super) async fn inject(&self, fault: Fault, length: Duration, log: &FaultLog) {
        // The workers make the table, which somebody may have dropped.
        while block_in_place(|| self.run(statements::HAS_TABLE)).as_deref() != Ok("1") {
            sleep(Duration::from_millis(50)).await;
        }
        match fault {
            Fault::LockRow(_) | Fault::LockTable => self.lock(fault, length, log).await,
            Fault::AlterTable | Fault::Terminate => self.repeat(fault, length, log).await,
            _ => self.disturb(fault, length, log).await,
        }
    }

    async fn disturb(&self, fault: Fault, length: Duration, log: &FaultLog) {
        let (named, server) = (super::Fault::Mysql(fault), &self.server);
        let number = log.begin(named, if fault == Fault::Serializable { Scope::Load } else { Scope::Store });
        block_in_place(|| match fault {
            Fault::Kill => server.kill(),
            Fault::Restart => server.shut_down(),
            Fault::Pause => server.pause(),
            Fault::Serializable => self.must("SET GLOBAL TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
            Fault::ReadOnly => self.must("SET GLOBAL read_only = 1"),
            Fault::DiskFull => self.must(statements::DISK_FULL),
            Fault::Rights(right) => {
                self.must(statements::revoke_right(right));
                server.end_connections();
            }
            Fault::Forget(forget) => {
                let forgotten = log.begin(named, Scope::Forgotten(NOTICED_WITHIN));
                self.must(statements::forget(forget));
                log.end(forgotten);
            }
            _ => {}
        });
        match fault {
            Fault::Slow(answers_after) => lasting::slow(server, answers_after, length).await,
            _ => sleep(length).await,
        }
        block_in_place(|| match fault {
            Fault::Kill | Fault::Restart => server.restart(),
            Fault::Pause => server.resume(),
            Fault::Serializable => self.must("SET GLOBAL TRANSACTION ISOLATION LEVEL REPEATABLE READ"),
            Fault::ReadOnly => self.must("SET GLOBAL read_only = 0"),
            Fault::DiskFull => self.must(statements::ROOM_AGAIN),
            Fault::Rights(right) => self.must(statements::grant_right(right)),
            _ => {}
        });
        log.end(number);
    }

    /// Somebody's transaction stays open.
    async fn lock(&self, fault: Fault, length: Duration, log: &FaultLog) {
        let names = block_in_place(|| self.run(statements::names())).unwrap_or_default();
        let names: Vec<&str> = names.lines().collect();
        let row = match fault {
            Fault::LockRow(number) if !names.is_empty() => Some(names[number as usize % names.len()].to_owned()),
            _ => None,
        };
        let number = log.begin(super::Fault::Mysql(fault), row.clone().map_or(Scope::Store, Scope::Lock));
        let open: OpenTransaction = block_in_place(|| {
            let table = "LOCK TABLES distributed_locks WRITE".to_owned();
            self.server.begin(&row.as_deref().map_or(table, statements::lock_row))
        });
        sleep(length).await;
        block_in_place(|| drop(open));
        log.end(number);
    }

    async fn repeat(&self, fault: Fault, length: Duration, log: &FaultLog) {
        let number = log.begin(super::Fault::Mysql(fault), Scope::Store);
        let act = || match fault {
            Fault::Terminate => drop(self.server.end_connections()),
            // One that meets the workers in a deadlock fails.
            _ => statements::ALTER_TABLE.iter().for_each(|statement| drop(self.run(statement))),
        };
        lasting::repeat(length, act).await;
        log.end(number);
    }

    fn rows(&self) -> Result<Vec<Row>, String> {
        let text = self.run(&statements::rows())?;
        Ok(text.lines().filter_map(row).collect())
    }

    /// A statement of the administrator.
    fn run(&self, statement: &str) -> Result<String, String> {
        self.server.sql_as("admin", statement)
    }

    /// A statement without which the fault would have no effect, or no end. A busy machine may break a connection.
    fn must(&self, statement: &str) {
        let failed = (0..5).map_while(|_| self.run(statement).err()).collect::<Vec<_>>();
        assert!(failed.len() < 5, "{statement}: {failed:?}");
    }
}

fn row(line: &str) -> Option<Row> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [name, version, session, number, record, queue, is_held, now] = fields.as_slice() else { return None };
    Some(Row {
        name: text(name)?,
        version: (*version).to_owned(),
        entry: format!("{session}-{number}"),
        record: text(record)?,
        queue: serde_json::from_str(&text(queue)?).unwrap_or_default(),
        is_held: *is_held == "1",
        now: now.parse().ok()?,
    })
}

/// Of hexadecimal digits.
fn text(digits: &str) -> Option<String> {
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    String::from_utf8((0..digits.len()).step_by(2).map(byte).collect::<Option<_>>()?).ok()
}
