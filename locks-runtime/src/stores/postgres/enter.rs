//! Getting into a lock's line: one statement, which takes the lock if it is free.

use super::session::{Shared, fence, number};
use super::slots::Stand;
use super::store::column;
use crate::contract::{Entered, Entry, WhenBusy};
use crate::values::error::Error;
use crate::world::clock::{Clock, Moment};
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

pub(super) async fn enter(shared: &Shared, entry: &Entry, when_busy: WhenBusy) -> Result<Entered, Error> {
    shared.check()?;
    let name = shared.store.name(&entry.key)?;
    if let Stand::Removed(why) = shared.slots.sent(entry.number, &name) {
        shared.slots.answered(entry.number);
        return Err(Error::lost(why));
    }
    let record = shared.store.record(&entry.holder);
    let values = [
        (&name as _, Type::TEXT),
        (&shared.id as _, Type::TEXT),
        (&number(entry) as _, Type::INT8),
        (&record as _, Type::TEXT),
        (&shared.micros() as _, Type::FLOAT8),
        (&(when_busy == WhenBusy::Queue) as _, Type::BOOL),
    ];
    let answer = match shared.store.ask(&shared.store.work, &shared.store.sql.enter, &values).await {
        Ok(answer) => answer,
        Err(failure) => {
            if !failure.is_ambiguous() {
                shared.slots.answered(entry.number);
            }
            return Err(failure.into());
        }
    };
    if !answer.doubtful {
        shared.slots.answered(entry.number);
    }
    let row = answer.rows.first().ok_or_else(|| Error::unavailable("PostgreSQL gave no row for a lock"))?;
    match seen(shared, entry, row)? {
        Some(stand) => {
            shared.slots.place(entry.number, stand);
            Ok(if let Stand::Held(fence) = stand { Entered::held(fence) } else { Entered::Queued })
        }
        None if when_busy == WhenBusy::Refuse => {
            shared.slots.forget(entry.number);
            Ok(Entered::Busy(shared.store.holder(column(row, "holder")?).into()))
        }
        None => {
            shared.slots.place(entry.number, Stand::Removed(LAPSED));
            Err(Error::lost(LAPSED))
        }
    }
}

/// Where the entry stands by its lock's row; `None` if nowhere.
pub(super) fn seen(shared: &Shared, entry: &Entry, row: &Row) -> Result<Option<Stand>, Error> {
    let is_session = column::<Option<&str>>(row, "session")? == Some(&shared.id);
    let is_entry = is_session && column::<Option<i64>>(row, "number")? == Some(number(entry));
    let shown = Shown {
        is_entry,
        seconds: column(row, "seconds")?,
        // Of another's hold in somebody else's table it may be missing.
        fence: if is_entry { column(row, "fence")? } else { 0 },
        place: column(row, "place")?,
    };
    Ok(shown.stand(Clock::Boot.now()))
}

/// What a lock's row shows to an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    /// Whether it is the entry's, until `seconds` from now.
    pub(super) is_entry: bool,
    pub(super) seconds: f64,
    pub(super) fence: i64,
    /// The entry's place in line, from 1.
    pub(super) place: Option<i64>,
}

impl Shown {
    pub(super) fn stand(self, now: Moment) -> Option<Stand> {
        if self.is_entry && self.seconds > 0.0 {
            return Some(Stand::Held(fence(self.fence)));
        }
        let left = Duration::try_from_secs_f64(self.seconds.max(0.0)).unwrap_or(Duration::MAX);
        let ahead = u32::try_from(self.place?.saturating_sub(1)).unwrap_or(u32::MAX);
        Some(Stand::Waiting { ahead, until: now + left })
    }
}

/// From now on the lock stays taken for at least `least`.
pub(super) async fn keep(shared: &Shared, entry: &Entry, least: Duration) -> Result<(), Error> {
    shared.check()?;
    let (name, micros) = (shared.store.name(&entry.key)?, least.as_secs_f64() * 1e6);
    let values = [
        (&name as _, Type::TEXT),
        (&shared.id as _, Type::TEXT),
        (&number(entry) as _, Type::INT8),
        (&micros as _, Type::FLOAT8),
    ];
    let answer = shared.store.ask(&shared.store.work, &shared.store.sql.keep, &values).await?;
    if answer.rows.is_empty() { Err(Error::lost("the entry does not hold the lock any more")) } else { Ok(()) }
}

pub(super) const LAPSED: &str = "the place in line lapsed, as it was not renewed in time";
