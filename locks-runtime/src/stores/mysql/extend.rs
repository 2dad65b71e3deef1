//! Holding a lock for a least time, even if this process ends, and letting a hold end by itself.

use super::change::{Missing, change};
use super::entries::Status;
use super::error::{ENTRY_GONE, not_held};
use super::row::{LAPSING, Micros, Row, number};
use super::shared::{Shared, micros};
use crate::contract::Entry;
use crate::values::error::Error;
use std::time::Duration;

pub(super) async fn extend(shared: &Shared, entry: &Entry, least: Duration) -> Result<(), Error> {
    shared.check()?;
    let least = micros(least);
    change_hold(shared, entry, |until, keep, now| {
        let later = now.saturating_add(least);
        (*until, *keep) = ((*until).max(later), Some(keep.unwrap_or(later).max(later)));
    })
    .await
}

/// From before the request on it is not renewed any more: a renewal must not make it longer again.
pub(super) async fn lapse(shared: &Shared, entry: &Entry, rest: Duration) -> Result<(), Error> {
    shared.check()?;
    let over = Status::Lapsing { until: shared.client.world.now() + rest };
    shared.entries.get(entry.number, |state| state.advance(over)).ok_or_else(not_held)?;
    let rest = micros(rest);
    change_hold(shared, entry, |until, keep, now| let_lapse(until, keep, now.saturating_add(rest))).await
}

/// Of all its locks, if it holds each.
async fn change_hold(
    shared: &Shared,
    entry: &Entry,
    work: impl Fn(&mut Micros, &mut Option<Micros>, Micros),
) -> Result<(), Error> {
    let (client, names, number) = (&shared.client, shared.client.names(entry)?, number(entry));
    let decide = |rows: &mut [Row], now| {
        let holds = |row: &Row| row.held_by(&shared.id, number, now).is_some();
        let holds_all = rows.len() == names.len() && rows.iter().all(holds);
        if holds_all {
            for row in rows {
                row.change_hold(&shared.id, number, now, |until, keep| work(until, keep, now));
            }
        }
        holds_all
    };
    let changed = change(client, &client.work, &names, Missing::Skip, decide).await?;
    changed.show(client, ENTRY_GONE);
    if changed.outcome { Ok(()) } else { Err(not_held()) }
}

/// Nor must this make it longer, if it comes late once more.
fn let_lapse(until: &mut Micros, keep: &mut Option<Micros>, over: Micros) {
    *until = if *keep == Some(LAPSING) { over.min(*until) } else { over };
    *keep = Some(LAPSING);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_lapses_no_later_than_it_was_first_said() {
        let (mut until, mut keep) = (900, Some(700));
        for (over, lapses) in [(500, 500), (800, 500), (400, 400)] {
            let_lapse(&mut until, &mut keep, over);
            assert_eq!((until, keep), (lapses, Some(LAPSING)));
        }
    }
}
