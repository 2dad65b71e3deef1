//! What differs between this crate's own table and that of ShedLock.

use super::form::{self, Form};
use super::row::column;
use super::shedlock;
use super::sql::Statements;
use super::table::Table;
pub use crate::contract::database::Layout;
use crate::values::error::Error;
use crate::values::holder::Holder;
use tokio_postgres::Row;

impl Layout {
    /// Whether the table has a queue, and hand-offs are notified.
    pub(super) fn has_queue(self) -> bool {
        self == Self::Own
    }

    /// The statements for a table, with so much room for what it shows of a holder.
    pub(super) fn statements(self, table: &Table, room: Option<usize>) -> Statements {
        match self {
            Self::Own => Statements::of(table),
            Self::ShedLock => shedlock::statements(table, room),
        }
    }

    /// The columns of the table.
    pub(super) fn form(self) -> Form {
        match self {
            Self::Own => form::OWN,
            Self::ShedLock => shedlock::FORM,
        }
    }

    /// What a table may be called that is asked for by `name`.
    pub(super) fn spellings(self, name: &str) -> Vec<String> {
        match self {
            Self::Own => vec![name.to_owned()],
            // In Java it is not quoted.
            Self::ShedLock => vec![name.to_owned(), name.to_lowercase()],
        }
    }

    /// A column that no table of another purpose has.
    pub(super) fn mark(self) -> &'static str {
        match self {
            Self::Own => "locked_until",
            Self::ShedLock => "lock_until",
        }
    }

    /// The statement with which a table is created that does not exist.
    pub(super) fn creation(self, table: &Table) -> String {
        match self {
            Self::Own => table.creation(),
            Self::ShedLock => table.shedlock_creation(),
        }
    }

    /// Whether this crate creates the table. ShedLock's may be in another schema or have another name than it seems, and
    /// Java would use that one, beside ours.
    pub(super) fn creates_table(self) -> bool {
        self == Self::Own
    }

    /// Whether a row can have this name.
    pub(super) fn check_name(self, name: &str) -> Result<(), Error> {
        match self {
            Self::Own => Ok(()),
            Self::ShedLock => shedlock::check_name(name),
        }
    }

    /// Refuses a row that shows that another writes to the table by another clock.
    pub(super) fn check_row(self, row: &Row) -> Result<(), Error> {
        match self {
            Self::Own => Ok(()),
            Self::ShedLock => shedlock::check_time(column(row, "ahead")?, column(row, "holder")?),
        }
    }

    /// What is stored of a holder.
    pub(super) fn record(self, holder: &Holder) -> String {
        match self {
            Self::Own => String::from_utf8(holder.to_json()).unwrap_or_default(),
            Self::ShedLock => shedlock::signature(holder),
        }
    }

    /// The holder of whom `record` is stored.
    pub(super) fn holder(self, record: Option<&str>) -> Holder {
        match self {
            Self::Own => Holder::from_json(record.unwrap_or_default().as_bytes()),
            Self::ShedLock => shedlock::holder(record),
        }
    }
}
