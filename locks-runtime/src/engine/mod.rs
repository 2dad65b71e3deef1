//! The engine: from a request to a hold, and from a hold back to a free lock.

pub(crate) mod acquire;
pub(crate) mod clients;
pub(crate) mod context;
pub(crate) mod core;
pub(crate) mod deadlock;
pub(crate) mod drain;
pub(crate) mod hand_over;
pub(crate) mod held;
pub(crate) mod hold;
pub(crate) mod life;
pub(crate) mod limits;
pub(crate) mod local;
pub(crate) mod look;
pub(crate) mod observe;
pub(crate) mod offer;
#[cfg(feature = "metrics")]
pub(crate) mod oldest;
pub(crate) mod once;
pub(crate) mod order;
pub(crate) mod owned;
pub(crate) mod queue;
pub(crate) mod request;
pub(crate) mod schedule;
pub(crate) mod session;
pub(crate) mod status;
