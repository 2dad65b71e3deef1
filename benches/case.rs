//! The cases that are measured.

use std::time::Duration;

/// One pattern of use, the same for every locker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) processes: usize,
    /// Tasks of each process.
    pub(crate) tasks: usize,
    pub(crate) wants: Wants,
    /// How long a body takes.
    pub(crate) body: Duration,
    /// For how long it is measured.
    pub(crate) length: Duration,
    pub(crate) figure: Figure,
    /// Whether the floor runs it too. Otherwise it is compared with the floor's uncontended pair of the same round.
    pub(crate) has_floor: bool,
    /// Whether each byte to the server and each byte back takes [`DELAY`] longer.
    pub(crate) is_far: bool,
}

/// That of the slow link, in each direction.
pub(crate) const DELAY: Duration = Duration::from_millis(5);

/// What each hold is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// Each task has a key of its own.
    OwnKeys,
    /// All tasks of all processes want one key.
    OneKey,
    /// One key, and nine of ten requests only read.
    Readers,
    /// One of [`PERMITS`] of one key.
    Permits,
    /// Two of [`ACCOUNTS`] keys at one moment.
    Accounts,
}

pub(crate) const PERMITS: u32 = 8;
pub(crate) const ACCOUNTS: u32 = 16;

impl Wants {
    const WORDS: [(&str, Self); 5] = [
        ("own", Self::OwnKeys),
        ("one", Self::OneKey),
        ("readers", Self::Readers),
        ("permits", Self::Permits),
        ("accounts", Self::Accounts),
    ];

    /// As an argument of a worker.
    pub(crate) fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, wants)| *wants == self).map_or("", |(word, _)| word)
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, wants)| *wants)
    }
}

impl Case {
    /// Whether the plot has it: the steps between one task and eight are in the tables.
    pub(crate) fn is_plotted(&self) -> bool {
        self.wants != Wants::OwnKeys || !matches!(self.tasks, 2 | 4)
    }
}

/// What the ratio to the floor compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Holds per second: more is better.
    Rate,
    /// Milliseconds from a release to the next grant: less is better.
    HandOff,
}

/// Longer, because the contended cases are compared with it.
const PAIR: Duration = Duration::from_millis(1000);
const SHORT: Duration = Duration::from_millis(600);
/// What is done under a lock that others may have at the same time.
const WORK: Duration = Duration::from_millis(1);

const fn own_keys(name: &'static str, tasks: usize, length: Duration) -> Case {
    let (body, figure) = (Duration::ZERO, Figure::Rate);
    let wants = Wants::OwnKeys;
    Case { name, processes: 1, tasks, wants, body, length, figure, has_floor: true, is_far: false }
}

const fn one_key(name: &'static str, processes: usize, tasks: usize) -> Case {
    let (body, length, figure) = (Duration::ZERO, SHORT, Figure::Rate);
    let wants = Wants::OneKey;
    Case { name, processes, tasks, wants, body, length, figure, has_floor: false, is_far: false }
}

/// The first is the uncontended pair.
pub(crate) const CASES: [Case; 14] = [
    own_keys("uncontended pair", 1, PAIR),
    Case { is_far: true, ..own_keys("pair, 5 ms away", 1, PAIR) },
    own_keys("2 tasks, 2 keys", 2, SHORT),
    own_keys("4 tasks, 4 keys", 4, SHORT),
    own_keys("8 tasks, 8 keys", 8, SHORT),
    own_keys("64 tasks, 64 keys", 64, SHORT),
    own_keys("256 tasks, 256 keys", 256, SHORT),
    one_key("32 tasks, one key", 1, 32),
    one_key("4 processes of 8, one key", 4, 8),
    one_key("2 processes of 1, one key", 2, 1),
    Case { wants: Wants::Readers, body: WORK, ..one_key("2 processes of 16, 9 of 10 read", 2, 16) },
    Case { wants: Wants::Permits, body: WORK, ..one_key("64 tasks, 8 permits", 1, 64) },
    Case { wants: Wants::Accounts, ..one_key("2 processes of 16, 2 of 16 keys", 2, 16) },
    Case {
        name: "hand-off after 250 ms",
        processes: 2,
        tasks: 1,
        wants: Wants::OneKey,
        body: Duration::from_millis(250),
        length: Duration::from_millis(1500),
        figure: Figure::HandOff,
        has_floor: true,
        is_far: false,
    },
];
