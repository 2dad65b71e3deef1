//! What the models of databases have in common: the server's clock, a user's rights, and what somebody did to its rows who is no process
//! of the plan.

use crate::network::Nanos;
use crate::plan::Draw;
use std::collections::BTreeMap;
use std::time::Duration;

/// When a server's clock shows this, the plan begins: in microseconds since 1970.
const BEGIN: i64 = 1_763_733_600_000_000;

/// The locks that strangers meddle with, the one that most calls are for more often.
pub(crate) const DISTURBED: [&str; 3] = ["k", "k", "k/l"];

/// How long a former holder's row lasts that a failover brought back.
pub(crate) const LONGEST_TTL: Duration = Duration::from_secs(35);

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

/// What the user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Read rows.
    pub select: bool,
    /// Insert rows.
    pub insert: bool,
    /// Change rows.
    pub update: bool,
    /// Delete rows.
    pub delete: bool,
    /// Create a table.
    pub create: bool,
    /// Connect.
    pub log_in: bool,
}

impl Rights {
    /// Whatever is needed.
    #[must_use]
    pub const fn all() -> Self {
        Self { select: true, insert: true, update: true, delete: true, create: true, log_in: true }
    }

    /// One of those that locks need is missing.
    pub(crate) fn draw(draw: &mut Draw) -> Self {
        let all = Self::all();
        draw.random.pick(&[
            Self { select: false, ..all },
            Self { insert: false, ..all },
            Self { update: false, ..all },
            Self { delete: false, ..all },
            Self { log_in: false, ..all },
        ])
    }
}

impl Default for Rights {
    fn default() -> Self {
        Self::all()
    }
}

/// As a server's clock counts.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The call's name in a holder's record.
pub(crate) fn name_in(record: &str) -> String {
    let name = record.split_once("\"name\":\"").and_then(|(_, rest)| rest.split('"').next());
    name.unwrap_or_default().to_owned()
}
