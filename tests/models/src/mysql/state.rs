//! The server's data, as somebody sees it who looks from outside.

use super::server::Server;
use super::statements::Statement;
use super::table::{Row, Table};
use super::values::number;
use crate::database::{Times, name_in};
use crate::model::{QueuedEntry, State};
use crate::network::Nanos;
use mysql_async::Value;
use serde_json::Value as Json;

/// In place of a session: who holds is in the queue.
const BESIDE: &[u8] = b".beside";

/// The server, its clock, and what somebody did to it who is no process of the plan.
#[derive(Debug)]
pub struct MysqlState {
    /// The server.
    pub server: Server,
    times: Times,
}

/// An entry in a queue.
struct Queued {
    entry: QueuedEntry,
    until: i64,
}

impl MysqlState {
    pub(super) fn new(pace: u64) -> Self {
        let mut state = Self { server: Server::new(), times: Times::new(pace) };
        state.at(0);
        state
    }

    /// From now on it is `now` in the simulation.
    pub fn at(&mut self, now: Nanos) {
        self.server.at(self.times.at(now));
    }

    /// Its clock is set back by so many microseconds.
    pub fn set_back(&mut self, micros: i64) {
        self.times.set_back(micros);
    }

    /// How long until something lapses by itself, in nanoseconds of the simulation.
    #[must_use]
    pub fn lapses_in(&self) -> Option<u64> {
        let now = self.server.now();
        let moments = self.rows().flat_map(|row| {
            let waiters = queue_of(row).into_iter().map(|queued| queued.until);
            waiters.chain([row.locked_until]).filter(|until| *until > now && *until < i64::MAX)
        });
        moments.min().map(|moment| self.times.passes(moment - now) + 1_000_000)
    }

    /// Takes note of what a process asks for: a session begins with a renewal.
    pub(super) fn note(&mut self, statement: Statement, values: &[Value]) {
        if statement == Statement::Renew {
            self.times.note_ttl(values.first().and_then(number).unwrap_or(0).unsigned_abs());
        }
    }

    /// Somebody took entries of the lock out of the store.
    pub fn disturb(&mut self, key: &str) {
        self.times.disturb(key);
    }

    /// The server has forgotten what it had acknowledged.
    pub fn forget(&mut self) {
        self.times.forget();
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.server.table.iter().flat_map(Table::values)
    }

    fn entries_of(&self, row: &Row) -> Vec<QueuedEntry> {
        let now = self.server.now();
        let is_held = row.locked_until > now && row.session.as_deref() != Some(BESIDE);
        let holder = is_held.then(|| {
            let id = match (&row.session, row.number) {
                (Some(session), Some(number)) => format!("{}.{number}", shown(session)),
                _ => format!("what is kept of {}", shown(&row.name)),
            };
            QueuedEntry { id, name: name_in(&shown(row.holder.as_deref().unwrap_or_default())) }
        });
        let waiters = queue_of(row).into_iter().filter(|queued| queued.until > now).map(|queued| queued.entry);
        holder.into_iter().chain(waiters).collect()
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The entries in a row's queue, those that hold the lock beside others, too.
fn queue_of(row: &Row) -> Vec<Queued> {
    if row.queue.is_empty() {
        return Vec::new();
    }
    let elements: Vec<Json> = serde_json::from_slice(&row.queue).expect("a queue as the store writes it");
    let queued = elements.iter().map(|element| {
        let text = |name: &str| element[name].as_str().unwrap_or_default();
        let number = |name: &str| element[name].as_i64().unwrap_or_default();
        let id = format!("{}.{}", text("s"), number("n"));
        Queued { entry: QueuedEntry { id, name: name_in(text("h")) }, until: number("u") }
    });
    queued.collect()
}

impl State for MysqlState {
    fn queue(&self, key: &str) -> Vec<QueuedEntry> {
        let row = self.server.table.as_ref().and_then(|table| table.get(key.as_bytes()));
        row.map(|row| self.entries_of(row)).unwrap_or_default()
    }

    /// Everything but rows that nobody uses, which stay for a day.
    fn everything(&self) -> Vec<String> {
        let entries = |row| self.entries_of(row).into_iter().map(|one| format!("{}: {one:?}", shown(&row.name)));
        self.rows().flat_map(entries).collect()
    }

    fn sessions(&self) -> usize {
        0
    }

    fn disturbed(&self, key: &str) -> Option<Nanos> {
        self.times.disturbed(key)
    }

    fn went_back(&self) -> Option<Nanos> {
        self.times.went_back()
    }
}
