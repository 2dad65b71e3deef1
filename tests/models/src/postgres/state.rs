//! The server's data, as somebody sees it who looks from outside.

use super::done::FAR_OFF;
use super::server::Server;
use super::statements::Statement;
use super::table::{Row, Table};
use super::value::Value;
use super::wire::Request;
use crate::database::{Times, name_in};
use crate::model::{QueuedEntry, State};
use crate::network::Nanos;

/// The server, its clock, and what somebody did to it who is no process of the plan.
#[derive(Debug)]
pub struct PostgresState {
    /// The server.
    pub server: Server,
    times: Times,
}

impl PostgresState {
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

    /// How long until the server's clock shows this moment, in nanoseconds of the simulation.
    #[must_use]
    pub fn time_until(&self, moment: i64) -> u64 {
        self.times.passes(moment - self.server.now())
    }

    /// How long until something lapses by itself, in nanoseconds of the simulation.
    #[must_use]
    pub fn lapses_in(&self) -> Option<u64> {
        let now = self.server.now();
        let moments = self.rows().flat_map(|row| {
            row.queue
                .iter()
                .map(|waiter| waiter.until)
                .chain([row.locked_until])
                .filter(|until| *until > now && *until < FAR_OFF)
        });
        moments.min().map(|moment| self.time_until(moment) + 1_000_000)
    }

    /// Takes note of what a process asks for.
    pub(super) fn note(&mut self, request: &Request) {
        if let Request::Extended(asked) = request
            && matches!(Statement::of(&asked.text), Statement::EnterFree | Statement::EnterMany | Statement::Enter)
            && let Some(Value::Float8(ttl)) = asked.values.get(4)
        {
            self.times.note_ttl(*ttl as u64);
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
        let entry_of = |session: Option<&str>, number: Option<i64>, holder: Option<&str>| {
            let id = match (session, number) {
                (Some(session), Some(number)) => format!("{session}.{number}"),
                _ => format!("what is kept of {}", row.name),
            };
            QueuedEntry { id, name: name_in(holder.unwrap_or_default()) }
        };
        let is_held = row.locked_until > now && !row.is_beside();
        let holder = is_held.then(|| entry_of(row.session.as_deref(), row.number, row.holder.as_deref()));
        let alive = row.queue.iter().filter(|waiter| waiter.until > now);
        let waiters =
            alive.map(|waiter| entry_of(Some(&waiter.session), Some(waiter.number), waiter.holder.as_deref()));
        holder.into_iter().chain(waiters).collect()
    }
}

impl State for PostgresState {
    fn queue(&self, key: &str) -> Vec<QueuedEntry> {
        self.server.table.as_ref().and_then(|table| table.get(key)).map(|row| self.entries_of(row)).unwrap_or_default()
    }

    /// Everything but rows that nobody uses, which stay for a day.
    fn everything(&self) -> Vec<String> {
        let used =
            self.rows().flat_map(|row| self.entries_of(row).into_iter().map(|one| format!("{}: {one:?}", row.name)));
        used.collect()
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
