//! What is wrong with a server, and what it refuses then.

use super::answer::Refusal;
use super::statements::Statement;
use crate::database::Rights;

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

fn allows(rights: Rights, statement: Statement) -> bool {
    use Statement as S;
    match statement {
        S::EnterFree | S::EnterMany | S::Enter => rights.select && rights.insert && rights.update,
        S::Clean => rights.select && rights.update && rights.delete,
        S::MarkDone => rights.select && rights.insert && rights.update,
        S::DeleteDone => rights.select && rights.delete,
        S::Look | S::ReadDone | S::InspectKey | S::InspectPrefix => rights.select,
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
        | S::ForceRelease => rights.select && rights.update,
        _ => true,
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
        if allows(self.rights, statement) { Ok(()) } else { Err(Refusal::no_right()) }
    }
}
