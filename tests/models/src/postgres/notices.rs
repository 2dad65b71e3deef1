//! What notifications say.

/// It is this entry's turn.
pub(super) fn turn(session: &str, number: i64, fence: i64) -> String {
    format!("turn {session} {number} {fence}")
}

/// The entry is the first in the queue, and the lock is held for so many microseconds yet.
pub(super) fn wait(session: &str, number: i64, left: i64) -> String {
    format!("wait {session} {number} {left}")
}

/// The entry was removed.
pub(super) fn gone(session: &str, number: i64) -> String {
    format!("gone {session} {number}")
}
