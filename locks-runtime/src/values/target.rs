//! What spans and events are filed under.

/// The target of all spans and events: the name of the crate that people use.
pub(crate) const TARGET: &str = "distributed_locks";
