//! The cases that are measured.

use std::time::Duration;

/// One pattern of use, the same for every locker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) processes: usize,
    /// Tasks of each process.
    pub(crate) tasks: usize,
    /// Whether each task has a key of its own, or all tasks of all processes share one.
    pub(crate) own_keys: bool,
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

impl Case {
    /// Whether the plot has it: the steps between one task and eight are in the tables.
    pub(crate) fn is_plotted(&self) -> bool {
        !self.own_keys || !matches!(self.tasks, 2 | 4)
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

const fn own_keys(name: &'static str, tasks: usize, length: Duration) -> Case {
    let (body, figure) = (Duration::ZERO, Figure::Rate);
    Case { name, processes: 1, tasks, own_keys: true, body, length, figure, has_floor: true, is_far: false }
}

const fn one_key(name: &'static str, processes: usize, tasks: usize) -> Case {
    let (body, length, figure) = (Duration::ZERO, SHORT, Figure::Rate);
    Case { name, processes, tasks, own_keys: false, body, length, figure, has_floor: false, is_far: false }
}

/// The first is the uncontended pair.
pub(crate) const CASES: [Case; 11] = [
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
    Case {
        name: "hand-off after 250 ms",
        processes: 2,
        tasks: 1,
        own_keys: false,
        body: Duration::from_millis(250),
        length: Duration::from_millis(1500),
        figure: Figure::HandOff,
        has_floor: true,
        is_far: false,
    },
];
