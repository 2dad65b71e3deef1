//! The sessions of a client with its store: opened, renewed, watched and closed.

mod active;
mod contact;
mod holds;
mod pool;
mod pulse;
mod upkeep;

pub(crate) use active::{ActiveSession, SessionRef};
pub(crate) use pool::Sessions;
