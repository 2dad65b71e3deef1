//! The server's data, as somebody sees it who looks from outside.

use super::keyspace::{Bytes, Stored, Value};
use super::server::Server;
use crate::model::{QueuedEntry, State};
use crate::network::Nanos;
use std::collections::BTreeMap;

/// When the server's clock shows this, the plan begins: in microseconds since 1970.
const BEGIN: u64 = 1_763_733_600_000_000;

/// The server, its clock, and what somebody did to it who is no process of the plan.
#[expect(missing_debug_implementations, reason = "scripts are functions")]
pub struct RedisState {
    /// The server.
    pub server: Server,
    /// How fast its clock goes, in thousandths.
    pace: u64,
    /// By how much its clock was set back, in microseconds.
    pub set_back: u64,
    /// The simulation's time.
    now: Nanos,
    /// The longest TTL that a session has had, in milliseconds.
    longest: u64,
    disturbed: BTreeMap<String, Nanos>,
    forgot: Option<Nanos>,
    /// What the script has in the place of what.
    pub(super) broken: &'static [(&'static str, &'static str)],
}

impl RedisState {
    pub(super) fn new(pace: u64) -> Self {
        let mut state = Self {
            server: Server::new(),
            pace,
            set_back: 0,
            now: 0,
            longest: 0,
            disturbed: BTreeMap::new(),
            forgot: None,
            broken: &[],
        };
        state.at(0);
        state
    }

    /// From now on it is `now` in the simulation.
    pub fn at(&mut self, now: Nanos) {
        self.now = now;
        let passed = u64::try_from(u128::from(now) * u128::from(self.pace) / 1_000_000).unwrap_or(u64::MAX);
        self.server.at(BEGIN + passed - self.set_back);
    }

    /// How long until something expires by itself, in milliseconds of the simulation.
    #[must_use]
    pub fn expires_in(&self) -> Option<u64> {
        let left = self.server.keys.next_expiry()?.saturating_sub(self.server.now());
        Some((left * 1000 / self.pace).max(1))
    }

    /// Answers a request of a process.
    pub fn answer(&mut self, connection: u64, request: &[Bytes]) -> super::Reply {
        if let [_, _, count, rest @ ..] = request
            && let Some(arguments) = number(count).and_then(|count| rest.get(usize::try_from(count).ok()?..))
            && let [command, _, _, ttl, ..] = arguments
            && (command == b"enter" || command == b"enter_all")
        {
            self.longest = self.longest.max(number(ttl).unwrap_or(0));
        }
        if let [script, load, text] = request
            && script == b"SCRIPT"
        {
            return self.server.answer(connection, &[script.clone(), load.clone(), self.with_faults(text)]);
        }
        self.server.answer(connection, request)
    }

    /// The script with the faults that it is to have.
    fn with_faults(&self, text: &Bytes) -> Bytes {
        let mut text = String::from_utf8_lossy(text).into_owned();
        for (good, broken) in self.broken {
            assert_eq!(text.matches(good).count(), 1, "{good:?} is not in the script, or not once");
            text = text.replace(good, broken);
        }
        text.into_bytes()
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
        self.now <= at + self.longest * 1_000_000
    }

    fn text(&self, name: &str) -> Option<String> {
        match self.server.keys.value(name.as_bytes())? {
            Value::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
            // Redisson's, or other data.
            _ => Some(String::new()),
        }
    }

    fn field(&self, name: &str, field: &[u8]) -> Option<&Bytes> {
        match self.server.keys.value(name.as_bytes())? {
            Value::Hash(fields) => fields.iter().find(|(name, _)| name == field).map(|(_, value)| value),
            _ => None,
        }
    }

    fn holders(&self, key: &str) -> Vec<QueuedEntry> {
        let Some(value) = self.text(key) else { return Vec::new() };
        if let Some((id, record)) = value.split_once('\n') {
            // A hold in one piece.
            return vec![QueuedEntry { name: name_in(record.as_bytes()), id: id.to_owned() }];
        }
        let related = format!("{{{key}}}:holder");
        if value.ends_with('+')
            && let Some(Value::Sorted(members)) = self.server.keys.value(format!("{{{key}}}:holders").as_bytes())
        {
            let name = |token: &Bytes| self.field(&related, token).map(|held| name_in(held)).unwrap_or_default();
            #[expect(clippy::cast_precision_loss, reason = "milliseconds are exact")]
            let living = members.iter().filter(|(lapses, _)| *lapses > self.server.now() as f64);
            let entry = |token| QueuedEntry { name: name(token), id: String::from_utf8_lossy(token).into_owned() };
            return living.map(|(_, token)| entry(token)).collect();
        }
        let id = value;
        let is_ours = self.field(&related, b"token").is_some_and(|token| *token == id.as_bytes());
        let record = self.field(&related, b"record").filter(|_| is_ours);
        vec![QueuedEntry { name: record.map(|record| name_in(record)).unwrap_or_default(), id }]
    }

    fn waiters(&self, key: &str) -> Vec<QueuedEntry> {
        let Some(Value::Sorted(members)) = self.server.keys.value(format!("{{{key}}}:queue").as_bytes()) else {
            return Vec::new();
        };
        let waiter = |token: &Bytes| {
            let entry = self.field(&format!("{{{key}}}:waiters"), token)?;
            let space = entry.iter().position(|byte| *byte == b' ')?;
            let lapses = number(&entry[..space])?;
            let waiter =
                QueuedEntry { id: String::from_utf8_lossy(token).into_owned(), name: name_in(&entry[space + 1..]) };
            (lapses > self.server.now()).then_some(waiter)
        };
        members.iter().filter_map(|(_, token)| waiter(token)).collect()
    }
}

impl State for RedisState {
    fn queue(&self, key: &str) -> Vec<QueuedEntry> {
        self.holders(key).into_iter().chain(self.waiters(key)).collect()
    }

    /// Everything but the one fence that stays, and what shows for some seconds that somebody has watched.
    fn everything(&self) -> Vec<String> {
        let name = |(name, _): (&Bytes, &Stored)| String::from_utf8_lossy(name).into_owned();
        // A user without the right to that one has one for each lock, which stays for some minutes.
        self.server
            .keys
            .iter()
            .map(name)
            .filter(|name| !name.ends_with("}:fence") && !name.ends_with("}:watch"))
            .collect()
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
fn name_in(record: &[u8]) -> String {
    let record = String::from_utf8_lossy(record);
    let name = record.split_once("\"name\":\"").and_then(|(_, rest)| rest.split('"').next());
    name.unwrap_or_default().to_owned()
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
