//! What ShedLock's table has of locks.

use super::client::Client;
use super::connection::Connections;
use super::error::Failure;
use super::parameters::{Parameters, padded};
use super::row::{Micros, column, text};
use super::shedlock_sql::{self as sql, Kind};
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::Holder;
use mysql_async::Value;

/// The longest name, in characters.
const LONGEST: usize = 64;

/// As much as ShedLock's documentation has for `locked_by`, and what we need at most.
const ROOM: usize = 255;

/// No clock that is set at all is wrong by so many microseconds, and no zone differs by less.
const FUTURE: Micros = 600_000_000;

/// The row of a lock.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) locked_by: String,
    /// How long it is still taken.
    pub(super) left: Micros,
    /// The moment of the grant.
    pub(super) fence: i64,
    /// How far that is from now.
    pub(super) ahead: Micros,
    pub(super) now: Micros,
    pub(super) ends: Micros,
}

/// An answer.
pub(super) struct Answer {
    pub(super) rows: Vec<Row>,
    pub(super) affected: u64,
    pub(super) insert_id: u64,
    pub(super) is_unresolved: bool,
}

pub(super) async fn ask(
    client: &Client,
    connections: &Connections,
    (kind, rows): (Kind, usize),
    values: &[Value],
) -> Result<Answer, Failure> {
    let limit = client.config().request_timeout();
    let text =
        |in_use: &super::client::InUse| sql::text(kind, &in_use.table, &in_use.version, rows, room(in_use.room)).into();
    let answer = client.ask_text(limit, connections, text, values).await?;
    let rows: Result<Vec<Row>, Error> = answer.reply.rows.iter().map(Row::read).collect();
    Ok(Answer {
        rows: rows.map_err(|error| Failure::unusable(error.kind(), error.to_string()))?,
        affected: answer.reply.affected,
        insert_id: answer.reply.insert_id,
        is_unresolved: answer.is_unresolved,
    })
}

/// How many characters of `locked_by` are used.
pub(super) fn room(room: Option<usize>) -> usize {
    room.map_or(ROOM, |room| room.min(ROOM))
}

/// The rows of these names.
pub(super) async fn read(client: &Client, connections: &Connections, names: &[String]) -> Result<Vec<Row>, Failure> {
    let rows = padded(names.len());
    let values = Parameters::default().list(names, rows).0;
    Ok(ask(client, connections, (Kind::Read, rows), &values).await?.rows)
}

impl Row {
    fn read(row: &mysql_async::Row) -> Result<Self, Error> {
        let micros = |name| column::<Option<i64>>(row, name).map(|micros| micros.unwrap_or(Micros::MAX / 4));
        Ok(Self {
            name: text(row, "name")?.unwrap_or_default(),
            locked_by: text(row, "locked_by")?.unwrap_or_default(),
            left: micros("time_left")?,
            fence: micros("fence")?,
            ahead: micros("ahead")?,
            now: micros("now")?,
            ends: micros("ends")?,
        })
    }

    /// Whether it is of this entry.
    pub(super) fn is_of(&self, session: &str, number: i64) -> bool {
        self.locked_by.strip_prefix(&format!("locks {session} {number} ")).is_some()
    }

    /// The holder.
    pub(super) fn holder(&self) -> Holder {
        holder(&self.locked_by)
    }

    /// Whether the table takes this name for the same: most collations fold case, and take no note of blanks at the end.
    pub(super) fn is_named(&self, name: &str) -> bool {
        let folded = |name: &str| name.trim_end().to_lowercase();
        folded(&self.name) == folded(name)
    }

    /// Refuses a hold that began much later than now: its time is not the database's.
    pub(super) fn check_time(&self) -> Result<(), Error> {
        if self.ahead < FUTURE {
            return Ok(());
        }
        let message = format!(
            "{:?} writes the local time of its JVM into ShedLock's table, or its session has another time zone: it acquired this lock \
             {} minutes from now. So it takes locks that are held, or others take its own; build its `LockProvider` with \
             `usingDbTime()`",
            self.locked_by,
            self.ahead / 60_000_000
        );
        Err(Error::new(ErrorKind::Unsupported, message))
    }
}

/// Whether a row can have this name.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    match name.chars().count() {
        0..=LONGEST => Ok(()),
        count => Err(Error::new(
            ErrorKind::InvalidKey,
            format!("the key has {count} characters and ShedLock's table takes {LONGEST}; hash the long part"),
        )),
    }
}

/// `locked_by` of an entry: before, and after the time until which its hold stays.
pub(super) fn signature(session: &str, number: i64, holder: &Holder) -> [String; 2] {
    let who = format!(" {} {}", holder.host, holder.name).replace(char::is_control, " ");
    [format!("locks {session} {number} "), who]
}

/// In so many characters.
pub(super) fn signed(signature: &[String; 2], end: &str, room: usize) -> String {
    format!("{}{end}{}", signature[0], signature[1]).chars().take(room).collect()
}

/// The holder of a row, by `locked_by`.
fn holder(locked_by: &str) -> Holder {
    Holder::unknown_because(format!("locked by {locked_by:?} in ShedLock's table"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_name_of_a_holder_fits_the_column(host: String, name: String, room in 100..300_usize) {
            let holder = Holder { host: host.into(), name: name.into(), ..Holder::default() };
            let signature = signature(&"0123456789abcdef".repeat(2), i64::MAX, &holder);
            let signed = signed(&signature, "1796024148946639", room);
            prop_assert!(signed.chars().count() <= room && !signed.contains(char::is_control));
            prop_assert!(signed.starts_with("locks 0123456789abcdef"));
            prop_assert!(!super::holder(&signed).to_string().contains(char::is_control));
        }
    }
}
