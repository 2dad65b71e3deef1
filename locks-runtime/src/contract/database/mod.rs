//! What the stores in a table of a database have in common, whichever database that is.

mod chunks;
mod config;
mod waiting;

#[cfg(feature = "mysql")]
pub(crate) use chunks::MOST_ROWS;
pub(crate) use chunks::chunks;
pub(crate) use config::Product;
pub use config::{Config, Encryption, Layout};
pub(crate) use waiting::{Outcome, Waiting, Way, share};
