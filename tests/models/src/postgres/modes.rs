//! What is wrong with a server, and what it refuses then.

use super::answer::Refusal;
use super::statements::Statement;

/// What is wrong with the server, or different from its defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    /// Transactions may not write.
    pub is_read_only: bool,
    /// It recovers, and nobody can log in.
    pub is_starting: bool,
    /// There is no room for rows.
    pub is_full: bool,
    /// There is no room for notifications.
    pub has_no_room_for_notifications: bool,
    /// By default transactions are isolated as REPEATABLE READ.
    pub is_strict: bool,
    /// A pool lends its sessions, each for one transaction.
    pub is_pooled: bool,
    /// What the role may not do.
    pub rights: Rights,
}

/// What the role may do.
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
    /// Create a table.
    pub create: bool,
    /// Have a session.
    pub log_in: bool,
}

impl Rights {
    /// Whatever is needed.
    #[must_use]
    pub const fn all() -> Self {
        Self { select: true, insert: true, update: true, delete: true, create: true, log_in: true }
    }

    fn allow(self, statement: Statement) -> bool {
        use Statement as S;
        match statement {
            S::EnterFree | S::EnterMany | S::Enter => self.select && self.insert && self.update,
            S::Clean => self.select && self.update && self.delete,
            S::MarkDone => self.select && self.insert && self.update,
            S::DeleteDone => self.select && self.delete,
            S::Look | S::ReadDone | S::InspectKey | S::InspectPrefix => self.select,
            S::Renew
            | S::RenewWaiting
            | S::LeaveUnqueued
            | S::LeaveMany
            | S::Leave
            | S::LeaveUnlocked
            | S::Lapse
            | S::Extend
            | S::EmptyDone
            | S::Detach
            | S::Adopt
            | S::ForceRelease => self.select && self.update,
            _ => true,
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
        if self.is_read_only
            && let Some(what) = statement.writes()
        {
            return Err(Refusal::error("25006", format!("cannot execute {what} in a read-only transaction")));
        }
        if self.rights.allow(statement) { Ok(()) } else { Err(Refusal::no_right()) }
    }
}
