//! What is wrong with a server, and what it refuses then.

use super::answer::{DENIED, READ_ONLY, Refusal};
use super::statements::Statement;

/// What is wrong with the server, or different from its defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    /// It takes no writes.
    pub is_read_only: bool,
    /// The user might write all the same, as `READ ONLY ADMIN` lets one.
    pub ignores_read_only: bool,
    /// There is no room for rows.
    pub is_full: bool,
    /// Of a hundred statements that change rows so many are rolled back.
    pub deadlocks: u64,
    /// What the user may do.
    pub rights: Rights,
}

/// What the user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Read rows.
    pub select: bool,
    /// Insert rows.
    pub insert: bool,
    /// Change rows.
    pub update: bool,
    /// Delete rows.
    pub delete: bool,
    /// Connect.
    pub log_in: bool,
}

impl Rights {
    /// Whatever is needed.
    #[must_use]
    pub const fn all() -> Self {
        Self { select: true, insert: true, update: true, delete: true, log_in: true }
    }

    /// Whether the user sees that there are columns.
    pub(super) const fn show_columns(self) -> bool {
        self.select || self.insert || self.update
    }

    fn allow(self, statement: Statement) -> bool {
        use Statement as S;
        match statement {
            S::Acquire | S::Release | S::Renew | S::SwapEach | S::SwapAll => self.select && self.update,
            S::Insert => self.select && self.insert && self.update,
            S::InsertHeld => self.insert,
            S::Delete => self.select && self.delete,
            S::Read | S::Unlocked | S::Page => self.select,
            S::Find | S::Create | S::Settings | S::Isolation | S::IsWritable => true,
        }
    }
}

impl Default for Rights {
    fn default() -> Self {
        Self::all()
    }
}

impl Modes {
    /// Why the server does not carry out a statement.
    pub(super) fn refuse(&self, statement: Statement) -> Result<(), Refusal> {
        // To lock rows counts as a write.
        let is_write = statement.changes_rows() || matches!(statement, Statement::Unlocked | Statement::Create);
        if is_write && self.is_read_only && !self.ignores_read_only {
            return Err(READ_ONLY);
        }
        if self.rights.allow(statement) { Ok(()) } else { Err(DENIED) }
    }
}
