//! What differs between this crate's own table and that of ShedLock.

use super::shedlock;
use super::sql::Statements;
use super::table::Table;
use crate::values::error::Error;
use crate::values::holder::Holder;

/// What the table looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// This crate's own.
    #[default]
    Own,
    /// That of ShedLock, for Java services that use the same locks: without a queue, a fence or a record.
    ShedLock,
}

impl Layout {
    /// Whether the table has a queue, and hand-offs are notified.
    pub(super) fn has_queue(self) -> bool {
        self == Self::Own
    }

    pub(super) fn statements(self, table: &Table) -> Statements {
        match self {
            Self::Own => Statements::of(table),
            Self::ShedLock => shedlock::statements(table),
        }
    }

    /// Whether a row can have this name.
    pub(super) fn check_name(self, name: &str) -> Result<(), Error> {
        match self {
            Self::Own => Ok(()),
            Self::ShedLock => shedlock::check_name(name),
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
