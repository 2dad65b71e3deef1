//! What users have: clients, locks, guards, and what the attribute expands to.

pub(crate) mod admin;
pub(crate) mod call;
pub(crate) mod campaign;
#[cfg(feature = "postgres")]
mod condition;
pub(crate) mod connect;
pub(crate) mod drain;
pub(crate) mod election;
pub(crate) mod global;
pub(crate) mod guard;
pub(crate) mod hand_over;
pub(crate) mod kind;
pub(crate) mod leaders;
pub(crate) mod leadership;
pub(crate) mod length;
pub(crate) mod lock;
pub(crate) mod locks;
mod look;
pub(crate) mod once;
pub(crate) mod run;
mod running;
mod status;
