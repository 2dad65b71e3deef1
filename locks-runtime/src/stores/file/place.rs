//! The name of a ticket: its place in the line, and what others must know of it. A name never changes.
//!
//! ```text
//! 00000000000000000007                                     whoever wants one lock alone
//! 00000000000000000008-shared-9e107d9d372bb682             a reader, and a word that makes the name unique
//! 00000000000000000009-permit.3-e4d909c290d0fb1c           who wants one of three permits
//! 00000000000000000010-exclusive-several-ffd93f16876049bc  who wants more locks than this one at one moment
//! ```

use crate::contract::Entry;
use crate::values::mode::{Ahead, Mode};
use std::cmp::Ordering;

/// The digits of a ticket's number.
const DIGITS: usize = 20;
const SEVERAL: &str = "-several";

/// A place in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    number: u64,
    pub(super) wanted: Wanted,
    name: String,
}

/// What whoever has a place wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) mode: Mode,
    /// Whether it waits for other locks, too, so that it may leave one alone that is free.
    pub(super) several: bool,
}

impl Wanted {
    pub(super) fn by(entry: &Entry) -> Self {
        Self { mode: entry.mode, several: !entry.others.is_empty() }
    }

    /// Whether nobody else may hold the lock meanwhile.
    pub(super) fn is_exclusive(self) -> bool {
        self.mode == Mode::Exclusive
    }

    /// Whether the ticket's file has a whole record, and its name is used once.
    pub(super) fn has_record(self) -> bool {
        self.several || !self.is_exclusive()
    }
}

impl Place {
    /// A place with this number; `word` makes its name unique.
    pub(super) fn new(number: u64, wanted: Wanted, word: u64) -> Self {
        let name = if wanted.has_record() {
            let kind = match wanted.mode {
                Mode::Exclusive => "exclusive".to_owned(),
                Mode::Shared => "shared".to_owned(),
                Mode::Permits(limit) => format!("permit.{limit}"),
            };
            let several = if wanted.several { SEVERAL } else { "" };
            format!("{number:0DIGITS$}-{kind}{several}-{word:016x}")
        } else {
            format!("{number:0DIGITS$}")
        };
        Self { number, wanted, name }
    }

    /// The place with that name, if it is a ticket's.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (digits, rest) = name.split_at_checked(DIGITS)?;
        let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
        let Some(rest) = rest.strip_prefix('-') else {
            let wanted = Wanted { mode: Mode::Exclusive, several: false };
            return rest.is_empty().then(|| Self { number, wanted, name: name.to_owned() });
        };
        let (kind, _) = rest.rsplit_once('-')?;
        let (kind, several) = kind.strip_suffix(SEVERAL).map_or((kind, false), |kind| (kind, true));
        let mode = match (kind, kind.strip_prefix("permit.")) {
            ("shared", _) => Mode::Shared,
            (_, Some(limit)) => Mode::Permits(limit.parse().ok()?),
            // Of a later version, perhaps.
            _ => Mode::Exclusive,
        };
        Some(Self { number, wanted: Wanted { mode, several }, name: name.to_owned() })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The number of the place behind this one.
    pub(super) fn next_number(&self) -> u64 {
        self.number.saturating_add(1)
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.number, &self.name).cmp(&(other.number, &other.name))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// How many times the lock changes hands before it is the turn of who has these in front, one at least: those who hold it
/// together are served together.
pub(super) fn turns(ahead: &[Place]) -> u32 {
    let (mut all, mut turns, mut last) = (Ahead::default(), 0_u32, None);
    for mode in ahead.iter().map(|place| place.wanted.mode) {
        let is_with_the_last =
            last.is_some() && (all.let_hold(mode) || (last, mode) == (Some(Mode::Shared), Mode::Shared));
        turns = turns.saturating_add(u32::from(!is_with_the_last));
        all.push(mode);
        last = Some(mode);
    }
    turns.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MODES: [Mode; 4] = [Mode::Exclusive, Mode::Shared, Mode::Permits(0), Mode::Permits(u32::MAX)];

    #[test]
    fn a_name_says_what_is_wanted() {
        for mode in MODES {
            for several in [false, true] {
                let place = Place::new(7, Wanted { mode, several }, 9);
                assert_eq!(Place::parse(place.name()), Some(place));
            }
        }
        assert_eq!(Place::new(7, Wanted { mode: Mode::Exclusive, several: false }, 9).name(), "00000000000000000007");
    }

    #[test]
    fn places_are_in_the_order_of_their_numbers() {
        let place = |number, mode, word| Place::new(number, Wanted { mode, several: false }, word);
        assert!(place(9, Mode::Shared, 2) < place(10, Mode::Exclusive, 1));
        assert!(place(9, Mode::Shared, 1) < place(9, Mode::Shared, 2));
        assert_ne!(place(9, Mode::Shared, 1).cmp(&place(9, Mode::Permits(1), 1)), Ordering::Equal);
    }

    #[test]
    fn who_holds_together_is_one_turn() {
        let count = |modes: &[Mode]| {
            let ahead: Vec<Place> =
                modes.iter().map(|mode| Place::new(1, Wanted { mode: *mode, several: false }, 1)).collect();
            turns(&ahead)
        };
        let (reader, writer, permit) = (Mode::Shared, Mode::Exclusive, Mode::Permits(2));
        assert_eq!(count(&[]), 1);
        assert_eq!(count(&[writer, writer, writer]), 3);
        assert_eq!(count(&[reader, reader, reader]), 1);
        assert_eq!(count(&[reader, reader, writer, reader, reader]), 3);
        assert_eq!(count(&[permit, permit]), 1);
        assert_eq!(count(&[permit, permit, permit, permit]), 3);
    }

    proptest! {
        #[test]
        fn any_name_is_read_without_a_panic(name in "[0-9]{0,21}(-?\\PC{0,20})?") {
            if let Some(place) = Place::parse(&name) {
                prop_assert_eq!(place.name(), name);
            }
        }
    }
}
