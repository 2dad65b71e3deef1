//! The engine of the `distributed-locks` crate. Use that crate; this one has no promises of its own.

pub mod backend;
pub mod clock;
mod duration;
mod error;
mod fence;
mod holder;
mod key;
mod options;
mod random;

pub use error::{Error, ErrorKind};
pub use fence::Fence;
pub use holder::Holder;
pub use key::Key;
pub use options::{Mode, OnLost, Options};
