//! Examples of the distributed-locks crate: one idea a file.
