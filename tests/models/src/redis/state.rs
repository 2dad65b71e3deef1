//! The server's data, as somebody sees it who looks from outside.

use super::keyspace::Bytes;
use super::line::{self, Line, number};
use super::server::Server;
use crate::model::{QueuedEntry, State};
use crate::network::Nanos;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// When the server's clock shows this, the plan begins: in microseconds since 1970.
pub(super) const BEGIN: u64 = 1_763_733_600_000_000;

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
        self.server.answer(connection, &with_faults(self.broken, request))
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

    fn line(&self) -> Line<'_> {
        Line { places: vec![&self.server.keys], now: self.server.now() }
    }
}

impl State for RedisState {
    fn queue(&self, key: &str) -> Vec<QueuedEntry> {
        self.line().queue(key)
    }

    fn everything(&self) -> Vec<String> {
        line::names(&self.server.keys).collect()
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

/// The request, whose script has these faults if it loads one.
pub(super) fn with_faults<'a>(broken: &[(&str, &str)], request: &'a [Bytes]) -> Cow<'a, [Bytes]> {
    let [script, load, text] = request else { return Cow::Borrowed(request) };
    if script != b"SCRIPT" || broken.is_empty() {
        return Cow::Borrowed(request);
    }
    let mut text = String::from_utf8_lossy(text).into_owned();
    for (good, broken) in broken {
        assert_eq!(text.matches(good).count(), 1, "{good:?} is not in the script, or not once");
        text = text.replace(good, broken);
    }
    Cow::Owned(vec![script.clone(), load.clone(), text.into_bytes()])
}
