//! What a row of an answer says.

use super::clauses::BESIDE;
use super::entries::Status;
use crate::contract::Entry;
use crate::values::error::{Error, ErrorKind};
use crate::values::mode::Mode;
use crate::world::clock::Moment;
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

/// A column of an answer. A table that somebody else made might have it in another type.
pub(super) fn column<'a, T: FromSql<'a>>(row: &'a Row, name: &str) -> Result<T, Error> {
    row.try_get(name).map_err(|cause| {
        let message = "the table is not one of this crate's; name another by `?table=…`";
        Error::new(ErrorKind::Unsupported, message).with_source(cause)
    })
}

/// What a lock's row shows to one entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// Whether the entry holds the lock, if `seconds` is more than zero.
    pub(super) is_holder: bool,
    /// For how long the lock is still held, by whomever.
    pub(super) seconds: f64,
    pub(super) fence: i64,
    /// The entry's position in the queue, from 1.
    pub(super) position: Option<i64>,
    /// Its fence, if it holds beside others.
    pub(super) beside: Option<i64>,
}

impl View {
    /// What `row` shows to `entry` of `session`.
    pub(super) fn read(row: &Row, session: &str, entry: &Entry) -> Result<Self, Error> {
        let is_session = column::<Option<&str>>(row, "session")? == Some(session);
        let is_holder = is_session && column::<Option<i64>>(row, "number")? == Some(number(entry));
        Ok(Self {
            is_holder,
            seconds: column(row, "seconds")?,
            // In a table that somebody else made it may be missing from another's hold.
            fence: if is_holder { column(row, "fence")? } else { 0 },
            position: column(row, "place")?,
            beside: column(row, "held")?,
        })
    }

    /// Whether the entry holds the lock.
    pub(super) fn is_held(self) -> bool {
        self.held().is_some()
    }

    /// Its fence, if it holds the lock.
    fn held(self) -> Option<i64> {
        self.beside.or_else(|| (self.is_holder && self.seconds > 0.0).then_some(self.fence))
    }

    /// Whether another one holds the lock, and this one does not wait for it.
    pub(super) fn is_others(self) -> bool {
        !self.is_holder && self.seconds > 0.0 && self.position.is_none()
    }

    /// The status of the entry; `None` if it is not there.
    pub(super) fn status(self, now: Moment) -> Option<Status> {
        if let Some(held) = self.held() {
            return Some(Status::Held(fence(held)));
        }
        let left = Duration::try_from_secs_f64(self.seconds.max(0.0)).unwrap_or(Duration::MAX);
        let ahead = u32::try_from(self.position?.saturating_sub(1)).unwrap_or(u32::MAX);
        Some(Status::Queued { ahead, until: now + left })
    }
}

/// What the rows of all its locks show to one entry.
#[derive(Debug)]
pub(super) struct Shown {
    /// Of all together; `None` if it is missing from one.
    pub(super) status: Option<Status>,
    /// The fences of the other locks, if it holds all.
    pub(super) others: Box<[u64]>,
    /// How many of them it holds.
    pub(super) held: usize,
}

impl Shown {
    /// What these rows show, in whatever order, to an entry of `session` whose rows have these names.
    pub(super) fn read(
        rows: &[Row],
        session: &str,
        entry: &Entry,
        names: &[String],
        now: Moment,
    ) -> Result<Self, Error> {
        let (mut fences, mut queued, mut is_missing) = (Vec::new(), None, false);
        for name in names {
            let mut status = None;
            for row in rows {
                // Of one lock there is one row, and not every statement names it.
                if names.len() == 1 || column::<&str>(row, "name")? == name {
                    status = View::read(row, session, entry)?.status(now);
                }
            }
            match status {
                Some(Status::Held(fence)) => fences.push(fence),
                Some(status) => queued = Some(later_of(queued, status)),
                None => is_missing = true,
            }
        }
        let held = fences.len();
        let first = (held == names.len()).then(|| Status::Held(fences.remove(0)));
        let others = if first.is_some() { fences.into() } else { Box::default() };
        Ok(Self { status: first.or(queued).filter(|_| !is_missing), others, held })
    }
}

/// What two rows show to one that waits for at least one of them: it has to look when the first is due.
fn later_of(before: Option<Status>, status: Status) -> Status {
    match (before, status) {
        (Some(Status::Queued { ahead: one, until: soon }), Status::Queued { ahead, until }) => {
            Status::Queued { ahead: ahead.max(one), until: until.min(soon) }
        }
        _ => status,
    }
}

/// Of the rows that keep an entry of `session` from holding, one that says who does.
pub(super) fn in_the_way<'a>(rows: &'a [Row], session: &str, entry: &Entry) -> Result<Option<&'a Row>, Error> {
    let mut best = None;
    for row in rows {
        let view = View::read(row, session, entry)?;
        let is_others = view.seconds > 0.0 && !view.is_held();
        // Who shares the lock is in the way of others only.
        let is_beside = column::<Option<&str>>(row, "session")? == Some(BESIDE);
        let rank = (is_others, !(is_beside && entry.mode != Mode::Exclusive));
        if best.as_ref().is_none_or(|(known, _)| rank > *known) {
            best = Some((rank, row));
        }
    }
    Ok(best.map(|(_, row)| row))
}

/// A fence as the engine has it.
pub(super) fn fence(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// An entry's number as the database has it.
pub(super) fn number(entry: &Entry) -> i64 {
    i64::try_from(entry.number).unwrap_or(i64::MAX)
}
