//! What a row of an answer says.

use super::entries::Status;
use crate::contract::Entry;
use crate::values::error::{Error, ErrorKind};
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
        })
    }

    /// Whether the entry holds the lock.
    pub(super) fn is_held(self) -> bool {
        self.is_holder && self.seconds > 0.0
    }

    /// Whether another one holds the lock, and this one does not wait for it.
    pub(super) fn is_others(self) -> bool {
        !self.is_holder && self.seconds > 0.0 && self.position.is_none()
    }

    /// The status of the entry; `None` if it is not there.
    pub(super) fn status(self, now: Moment) -> Option<Status> {
        if self.is_held() {
            return Some(Status::Held(fence(self.fence)));
        }
        let left = Duration::try_from_secs_f64(self.seconds.max(0.0)).unwrap_or(Duration::MAX);
        let ahead = u32::try_from(self.position?.saturating_sub(1)).unwrap_or(u32::MAX);
        Some(Status::Queued { ahead, until: now + left })
    }
}

/// A fence as the engine has it.
pub(super) fn fence(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// An entry's number as the database has it.
pub(super) fn number(entry: &Entry) -> i64 {
    i64::try_from(entry.number).unwrap_or(i64::MAX)
}
