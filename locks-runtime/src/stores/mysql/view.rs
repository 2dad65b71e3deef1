//! What rows show to one entry.

use super::entries::Status;
use super::row::{Micros, Row, fence, number};
use crate::contract::{Entry, Grant};
use crate::world::clock::Moment;
use std::time::Duration;

/// What the rows of all its locks show to an entry.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shown {
    Held(Grant),
    /// It holds some of them at most, and waits for the others.
    Queued(Status),
    /// It is missing from one.
    Gone,
}

impl Shown {
    /// `rows` are those of its locks, in their order, as they were at `now` by the server's clock; and `here` by ours.
    pub(super) fn of(rows: &[&Row], session: &str, entry: &Entry, now: Micros, here: Moment) -> Self {
        let (number, mut fences, mut waits) = (number(entry), Vec::new(), None);
        let mut rows = rows.iter();
        for _ in entry.keys() {
            let Some(row) = rows.next() else { return Self::Gone };
            if let Some(held) = row.held_by(session, number, now) {
                fences.push(fence(held));
            } else if let Some(ahead) = row.ahead_of(session, number, now) {
                let due = here + left(row.due(), now);
                let (most, soonest) = waits.unwrap_or((0, due));
                waits = Some((ahead.max(most), due.min(soonest)));
            } else {
                return Self::Gone;
            }
        }
        match waits {
            Some((ahead, until)) => {
                Self::Queued(Status::Queued { ahead: u32::try_from(ahead).unwrap_or(u32::MAX), until })
            }
            None => Grant::of_several(fences).map_or(Self::Gone, Self::Held),
        }
    }
}

/// From now until then.
pub(super) fn left(until: Micros, now: Micros) -> Duration {
    Duration::from_micros(u64::try_from(until.saturating_sub(now)).unwrap_or(0))
}
