//! What a renewal covered.

use crate::values::error::Error;

/// The answer to [`Session::renew`](super::Session::renew): which entries it did not cover.
///
/// A session that was renewed in part goes on: the deadline of every entry moves on except those named here, which stay
/// where they were. An entry that a later renewal covers again has the session's deadline again.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Renewal {
    /// The entries whose deadlines stay where they were.
    pub uncovered: Vec<Uncovered>,
}

impl Renewal {
    /// Every entry of the session was renewed.
    #[must_use]
    pub fn complete() -> Self {
        Self::default()
    }

    /// Every entry was renewed except these.
    #[must_use]
    pub fn partial(uncovered: Vec<Uncovered>) -> Self {
        Self { uncovered }
    }
}

/// An entry that a renewal did not cover: its row is locked by another transaction, say, or a right was revoked.
#[derive(Debug)]
#[non_exhaustive]
pub struct Uncovered {
    /// The entry's [number](super::Entry::number).
    pub number: u64,
    /// Why it was not renewed: the reason of the loss if its deadline passes.
    pub cause: Error,
}

impl Uncovered {
    /// The entry with this number was not renewed, because of `cause`.
    #[must_use]
    pub fn new(number: u64, cause: Error) -> Self {
        Self { number, cause }
    }
}
