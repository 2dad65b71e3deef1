//! How often the first of a line was overtaken, as one of those behind it sees.
//!
//! Candidates of other projects that poll may be sooner than the first of the line once, or twice. When they are again and again, it is
//! dead; and they would be sooner than whoever first waits for it to move, for ever.

use super::lease::Lease;
use std::time::Duration;

/// Who is alive moves within this time when the Lease is free, if the machine is not busy.
const MOVES_WITHIN: Duration = Duration::from_millis(50);
/// So often it may be overtaken.
const MAY_BE: u32 = 2;
/// So many of those behind act at the same moment then.
const AT_ONCE: u32 = 4;

#[derive(Debug, Default)]
pub(super) struct Overtaken {
    first: String,
    holder: Option<String>,
    count: u32,
}

impl Overtaken {
    /// Notes the Lease as it is now.
    pub(super) fn note(&mut self, lease: &Lease) {
        let first = lease.line.first().map_or("", |first| first.identity.as_str());
        if self.first != first {
            *self = Self { first: first.to_owned(), holder: lease.holder.clone(), count: 0 };
        } else if lease.holder.is_some() && self.holder != lease.holder {
            self.holder.clone_from(&lease.holder);
            self.count += 1;
        }
    }

    /// How long whoever has this place lets those ahead move.
    pub(super) fn patience(&self, place: usize) -> Duration {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        let ahead = if self.count > MAY_BE { place.saturating_sub(AT_ONCE) } else { place };
        MOVES_WITHIN.saturating_mul(ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::Waiting;
    use super::*;

    #[test]
    fn who_is_overtaken_again_and_again_is_not_waited_for() {
        let lease = |holder: &str, first: &str| Lease {
            holder: Some(holder.to_owned()).filter(|holder| !holder.is_empty()),
            line: vec![Waiting { identity: first.to_owned(), record: String::new() }],
            ..Lease::default()
        };
        let mut overtaken = Overtaken::default();
        for (holder, expected) in [("a", 100), ("a", 100), ("", 100), ("b", 100), ("", 100), ("c", 100), ("d", 0)] {
            overtaken.note(&lease(holder, "dead"));
            assert_eq!(overtaken.patience(2).as_millis(), expected, "{holder}");
        }
        assert_eq!(overtaken.patience(6).as_millis(), 100);
        overtaken.note(&lease("d", "next"));
        assert_eq!(overtaken.patience(2).as_millis(), 100);
    }
}
