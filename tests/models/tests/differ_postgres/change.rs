//! What strangers do to the rows.

use locks_models::postgres::{Row, Table};

/// An hour, in microseconds.
const HOUR: i64 = 3_600_000_000;

/// What somebody does to the row of a lock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// Deletes it.
    Delete(&'static str),
    /// Forgets who waits.
    NoQueue(&'static str),
    /// Ends the hold.
    Free(&'static str),
    /// Takes the lock.
    Hold(&'static str),
    /// Makes one that nobody holds.
    Insert(&'static str),
    /// Raises the fence.
    Fence(&'static str),
}

/// Larger than the microseconds since 1970.
pub(crate) const LARGE: i64 = 9_000_000_000_000_000;

impl Change {
    /// The lock's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Delete(name)
            | Self::NoQueue(name)
            | Self::Free(name)
            | Self::Hold(name)
            | Self::Insert(name)
            | Self::Fence(name) => name,
        }
    }

    /// Whether it locks the row, until its transaction ends.
    pub(crate) fn locks(self, table: &Table) -> bool {
        table.contains_key(self.name()) != matches!(self, Self::Insert(_))
    }

    pub(crate) fn sql(self) -> String {
        let update = |set: &str, name: &str| format!("UPDATE distributed_locks SET {set} WHERE name = '{name}'");
        match self {
            Self::Delete(name) => format!("DELETE FROM distributed_locks WHERE name = '{name}'"),
            Self::NoQueue(name) => update("queue = '[]'", name),
            Self::Free(name) => update("locked_until = clock_timestamp(), keep_until = NULL", name),
            Self::Hold(name) => update(
                "session = 'stranger', number = 1, holder = NULL, locked_until = clock_timestamp() + interval '1 hour'",
                name,
            ),
            Self::Insert(name) => format!(
                "INSERT INTO distributed_locks (name, fence, locked_until) VALUES ('{name}', 5, clock_timestamp()) \
                 ON CONFLICT DO NOTHING"
            ),
            Self::Fence(name) => update(&format!("fence = {LARGE}"), name),
        }
    }

    /// The same in the model.
    pub(crate) fn apply(self, table: &mut Table, now: i64) {
        match (self, table.get_mut(self.name())) {
            (Self::Insert(name), None) => {
                let row = Row { name: name.to_owned(), fence: 5, locked_until: now, ..Row::default() };
                table.insert(name.to_owned(), row);
            }
            (Self::Insert(_), Some(_)) | (_, None) => {}
            (Self::Delete(name), Some(_)) => drop(table.remove(name)),
            (Self::NoQueue(_), Some(row)) => row.queue.clear(),
            (Self::Free(_), Some(row)) => (row.locked_until, row.keep_until) = (now, None),
            (Self::Hold(_), Some(row)) => {
                (row.session, row.number, row.holder) = (Some("stranger".to_owned()), Some(1), None);
                row.locked_until = now + HOUR;
            }
            (Self::Fence(_), Some(row)) => row.fence = LARGE,
        }
    }
}
