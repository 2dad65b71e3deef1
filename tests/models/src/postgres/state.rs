//! The server's data, as somebody sees it who looks from outside.

use super::done::FAR_OFF;
use super::server::Server;
use super::statements::Statement;
use super::table::{Row, Table};
use super::value::Value;
use super::wire::Request;
use crate::model::{QueuedEntry, State};
use crate::network::Nanos;
use std::collections::BTreeMap;

/// When the server's clock shows this, the plan begins: in microseconds since 1970.
const BEGIN: i64 = 1_763_733_600_000_000;

/// The server, its clock, and what somebody did to it who is no process of the plan.
#[derive(Debug)]
pub struct PostgresState {
    /// The server.
    pub server: Server,
    /// How fast its clock goes, in thousandths.
    pace: u64,
    /// By how much its clock was set back, in microseconds.
    pub set_back: i64,
    /// The simulation's time.
    now: Nanos,
    /// The longest TTL that a session has had, in microseconds.
    longest: u64,
    disturbed: BTreeMap<String, Nanos>,
    forgot: Option<Nanos>,
}

impl PostgresState {
    pub(super) fn new(pace: u64) -> Self {
        let (disturbed, server) = (BTreeMap::new(), Server::new());
        let mut state = Self { server, pace, set_back: 0, now: 0, longest: 0, disturbed, forgot: None };
        state.at(0);
        state
    }

    /// From now on it is `now` in the simulation.
    pub fn at(&mut self, now: Nanos) {
        self.now = now;
        let passed = i64::try_from(u128::from(now) * u128::from(self.pace) / 1_000_000).unwrap_or(i64::MAX);
        self.server.at(BEGIN + passed - self.set_back);
    }

    /// How long until the server's clock shows this moment, in nanoseconds of the simulation.
    #[must_use]
    pub fn time_until(&self, moment: i64) -> u64 {
        let left = u64::try_from(moment - self.server.now()).unwrap_or(0);
        left * 1_000_000 / self.pace
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
            self.longest = self.longest.max(*ttl as u64);
        }
    }

    /// Somebody took entries of the lock out of the store.
    pub fn disturb(&mut self, key: &str) {
        self.disturbed.insert(key.to_owned(), self.now);
    }

    /// The server has forgotten what it had acknowledged.
    pub fn forget(&mut self) {
        self.forgot = Some(self.now);
    }

    /// A former holder knows within a TTL, by its renewals or because there were none: from then on nothing is excused.
    fn is_excuse(&self, at: Nanos) -> bool {
        self.now <= at + self.longest * 1_000
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
        self.disturbed.get(key).copied().filter(|at| self.is_excuse(*at))
    }

    fn went_back(&self) -> Option<Nanos> {
        self.forgot.filter(|at| self.is_excuse(*at))
    }
}

/// The call's name in a holder's record.
fn name_in(record: &str) -> String {
    let name = record.split_once("\"name\":\"").and_then(|(_, rest)| rest.split('"').next());
    name.unwrap_or_default().to_owned()
}
