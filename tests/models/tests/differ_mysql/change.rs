//! What strangers do to the rows.

use locks_models::mysql::{Row, Table};

/// What somebody does to the row of a lock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// Deletes it.
    Delete(&'static str),
    /// Makes it free, and nobody waits.
    Free(&'static str),
    /// Holds it for ever, with somebody in the queue.
    Hold(&'static str),
    /// Inserts one that nobody holds.
    Insert(&'static str),
    /// Sets its version.
    Version(&'static str, i64),
    /// Sets its fence.
    Fence(&'static str, i64),
    /// Lets its hold lapse.
    Lapsing(&'static str),
}

impl Change {
    pub(crate) fn sql(self) -> String {
        let update = |set: &str, name: &str| format!("UPDATE distributed_locks SET {set} WHERE name = '{name}'");
        match self {
            Self::Delete(name) => format!("DELETE FROM distributed_locks WHERE name = '{name}'"),
            Self::Free(name) => update("locked_until = 1, queue = ''", name),
            Self::Hold(name) => update("locked_until = 9223372036854775807, queue = '[]'", name),
            Self::Insert(name) => format!(
                "INSERT IGNORE INTO distributed_locks (name, version, fence, locked_until, queue) VALUES ('{name}', 5, 5, 5, '')"
            ),
            Self::Version(name, version) => update(&format!("version = {version}"), name),
            Self::Fence(name, fence) => update(&format!("fence = {fence}"), name),
            Self::Lapsing(name) => update("keep_until = -9223372036854775808", name),
        }
    }

    /// The same in the model.
    pub(crate) fn apply(self, table: &mut Table) {
        let (Self::Delete(name)
        | Self::Free(name)
        | Self::Hold(name)
        | Self::Insert(name)
        | Self::Version(name, _)
        | Self::Fence(name, _)
        | Self::Lapsing(name)) = self;
        let name = name.as_bytes().to_vec();
        match (self, table.get_mut(&name)) {
            (Self::Insert(_), None) => {
                let row = Row { name: name.clone(), version: 5, fence: 5, locked_until: 5, ..Row::default() };
                table.insert(name, row);
            }
            (Self::Insert(_), Some(_)) | (_, None) => {}
            (Self::Delete(_), Some(_)) => drop(table.remove(&name)),
            (Self::Free(_), Some(row)) => (row.locked_until, row.queue) = (1, Vec::new()),
            (Self::Hold(_), Some(row)) => (row.locked_until, row.queue) = (i64::MAX, b"[]".to_vec()),
            (Self::Version(_, version), Some(row)) => row.version = version,
            (Self::Fence(_, fence), Some(row)) => row.fence = fence,
            (Self::Lapsing(_), Some(row)) => row.keep_until = Some(i64::MIN),
        }
    }
}
