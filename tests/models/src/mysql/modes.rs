//! What is wrong with a server, and what it refuses then.

use super::answer::{DENIED, READ_ONLY, Refusal};
use super::statements::Statement;
use crate::database::Rights;

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

fn allows(rights: Rights, statement: Statement) -> bool {
    use Statement as S;
    match statement {
        S::Acquire | S::Release | S::Renew | S::SwapEach | S::SwapAll => rights.select && rights.update,
        S::Insert => rights.select && rights.insert && rights.update,
        S::InsertHeld => rights.insert,
        S::Delete => rights.select && rights.delete,
        S::Read | S::Unlocked | S::Page => rights.select,
        S::Create => rights.create,
        S::Find | S::Settings | S::Isolation | S::IsWritable => true,
    }
}

impl Modes {
    /// Whether the user sees that there are columns.
    pub(super) const fn show_columns(&self) -> bool {
        self.rights.select || self.rights.insert || self.rights.update
    }

    /// Why the server does not carry out a statement.
    pub(super) fn refuse(&self, statement: Statement) -> Result<(), Refusal> {
        // To lock rows counts as a write.
        let is_write = statement.changes_rows() || matches!(statement, Statement::Unlocked | Statement::Create);
        if is_write && self.is_read_only && !self.ignores_read_only {
            return Err(READ_ONLY);
        }
        if allows(self.rights, statement) { Ok(()) } else { Err(DENIED) }
    }
}
