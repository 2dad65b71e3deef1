//! What the table looks like.

/// What the table looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// This crate's own.
    #[default]
    Own,
    /// That of ShedLock, for Java services that use the same locks: without a queue, a fence or a record.
    ShedLock,
}
