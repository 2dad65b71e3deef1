//! Examples of the distributed-locks crate, one idea in each.
