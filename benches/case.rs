//! What is measured.

use std::time::Duration;

/// One way to use locks, the same for every locker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) processes: usize,
    /// Tasks in each process.
    pub(crate) tasks: usize,
    /// Whether each task has a key of its own, or all processes and tasks have one.
    pub(crate) own_keys: bool,
    /// How long a body takes.
    pub(crate) hold: Duration,
    pub(crate) lasts: Duration,
    pub(crate) figure: Figure,
    /// Whether the floor runs it too. Otherwise its uncontended pair in the same round is the measure.
    pub(crate) has_floor: bool,
}

/// What its ratio to the floor compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Holds per second: more is better.
    Rate,
    /// Milliseconds from the release to the next one's grant: less is better.
    HandOff,
}

const SHORT: Duration = Duration::from_millis(1500);

const fn rate(name: &'static str, processes: usize, tasks: usize, own_keys: bool, has_floor: bool) -> Case {
    let (hold, lasts, figure) = (Duration::ZERO, SHORT, Figure::Rate);
    Case { name, processes, tasks, own_keys, hold, lasts, figure, has_floor }
}

/// The first is the uncontended pair.
pub(crate) const CASES: [Case; 7] = [
    rate("uncontended pair", 1, 1, true, true),
    rate("64 tasks, 64 keys", 1, 64, true, true),
    rate("256 tasks, 256 keys", 1, 256, true, true),
    rate("32 tasks, one key", 1, 32, false, false),
    rate("4 processes of 8, one key", 4, 8, false, false),
    rate("2 processes of 1, one key", 2, 1, false, false),
    Case {
        name: "hand-off after 250 ms",
        processes: 2,
        tasks: 1,
        own_keys: false,
        hold: Duration::from_millis(250),
        lasts: Duration::from_secs(4),
        figure: Figure::HandOff,
        has_floor: true,
    },
];
