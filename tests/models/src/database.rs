//! What the models of databases have in common: the server's clock, and what somebody did to its rows who is no process of the plan.

use crate::network::Nanos;
use std::collections::BTreeMap;

/// When a server's clock shows this, the plan begins: in microseconds since 1970.
const BEGIN: i64 = 1_763_733_600_000_000;

/// The clock of a server, and what is excused by what happened when.
#[derive(Debug)]
pub(crate) struct Times {
    /// How fast its clock goes, in thousandths.
    pace: u64,
    /// By how much its clock was set back, in microseconds.
    set_back: i64,
    /// The simulation's time.
    now: Nanos,
    /// The longest TTL that a session has had, in microseconds.
    longest: u64,
    disturbed: BTreeMap<String, Nanos>,
    forgot: Option<Nanos>,
}

impl Times {
    pub(crate) fn new(pace: u64) -> Self {
        Self { pace, set_back: 0, now: 0, longest: 0, disturbed: BTreeMap::new(), forgot: None }
    }

    /// From now on it is `now` in the simulation; returns what the server's clock shows.
    pub(crate) fn at(&mut self, now: Nanos) -> i64 {
        self.now = now;
        let passed = i64::try_from(u128::from(now) * u128::from(self.pace) / 1_000_000).unwrap_or(i64::MAX);
        BEGIN + passed - self.set_back
    }

    /// In how many nanoseconds of the simulation so many microseconds of the server's clock have passed.
    pub(crate) fn passes(&self, micros: i64) -> Nanos {
        u64::try_from(micros).unwrap_or(0) * 1_000_000 / self.pace
    }

    /// The server's clock is set back.
    pub(crate) fn set_back(&mut self, micros: i64) {
        self.set_back += micros;
    }

    /// A session has this TTL, in microseconds.
    pub(crate) fn note_ttl(&mut self, micros: u64) {
        self.longest = self.longest.max(micros);
    }

    /// Somebody took entries of the lock out of the store.
    pub(crate) fn disturb(&mut self, key: &str) {
        self.disturbed.insert(key.to_owned(), self.now);
    }

    /// The server has forgotten what it had acknowledged.
    pub(crate) fn forget(&mut self) {
        self.forgot = Some(self.now);
    }

    pub(crate) fn disturbed(&self, key: &str) -> Option<Nanos> {
        self.disturbed.get(key).copied().filter(|at| self.is_excuse(*at))
    }

    pub(crate) fn went_back(&self) -> Option<Nanos> {
        self.forgot.filter(|at| self.is_excuse(*at))
    }

    /// A former holder knows within a TTL, by its renewals or because there were none: from then on nothing is excused.
    fn is_excuse(&self, at: Nanos) -> bool {
        self.now <= at + self.longest * 1_000
    }
}

/// The call's name in a holder's record.
pub(crate) fn name_in(record: &str) -> String {
    let name = record.split_once("\"name\":\"").and_then(|(_, rest)| rest.split('"').next());
    name.unwrap_or_default().to_owned()
}
