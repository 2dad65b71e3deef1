//! Models of the stores' servers, and the real stores on top of them.
//!
//! A model is the state machine of a server and nothing else: no sockets, no clock, no tasks. It is reached through what
//! the store's own client takes instead of a connection, and a [`Network`] decides what becomes of each message. One
//! thread and paused time: processes, servers, network and their faults repeat themselves exactly from a seed, and some
//! minutes of a cluster take about a millisecond.
//!
//! - [`Plan`]: a schedule, drawn from a seed or written by hand: who asks for which lock when, and what happens meanwhile
//! - [`Network`]: messages that are late, lost, refused, answered for nothing; members that are silent or cut off
//! - [`Model`]: what a store's server has to be for that, implemented in [`etcd`], [`kubernetes`], [`mysql`], [`postgres`] and
//!   [`redis`]
//! - [`play`]: lets it happen, and checks what must hold at every change of the store
//! - [`explore`]: many seeds, on several threads

#![expect(clippy::unwrap_used, reason = "a schedule whose preparation fails has failed")]
#![expect(
    clippy::panic,
    reason = "a request that the model does not know is a mistake in the model; what is asserted fails"
)]
#![expect(clippy::print_stdout, reason = "names the case that fails")]
#![expect(clippy::disallowed_methods, reason = "the clock and the tasks here are a simulation's")]
#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers of a simulation")]

mod bell;
mod checks;
mod database;
pub mod etcd;
mod explore;
pub mod kubernetes;
mod model;
pub mod mysql;
mod network;
mod pipe;
mod plan;
pub mod postgres;
mod random;
pub mod redis;
mod run;

pub use bell::{Bell, Listener};
pub use checks::{
    assert_clean, assert_conforms, assert_found, assert_harms_that_lock_only, assert_held_at_least, assert_repeatable,
    assert_schedules_clean,
};
pub use explore::{Exploration, Found, Search, explore};
pub use model::{Effect, Model, QueuedEntry, ServerFault, State};
pub use network::{Fate, Nanos, Network, Weather};
pub use plan::{Act, Call, Draw, Event, Parts, Plan};
pub use random::Random;
pub use run::{Findings, Outcome, play};
