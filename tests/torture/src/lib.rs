//! Tries to break the lock, and detects it if it breaks.
//!
//! - [`run`]: one run, from the first worker to the verdict
//! - [`nemesis`]: the store, and faults by a schedule that depends on the seed alone
//! - [`workers`] and [`worker`]: the processes that call locked functions, and what runs in them
//! - [`matrix`]: the options, phases and endings of calls, every pair of which is met
//! - [`supervisor`]: answers the workers, and notices who ends by himself
//! - [`lock`]: the lock under test, and a naive one with a flaw
//! - [`foreign`]: clients of other projects in the same line
//! - [`register`]: the resource that the locks protect, which refuses stale fences
//! - [`history`]: the events that every process records
//! - [`checker`]: the rules that a history must keep, and their violations
//! - [`report`] and [`summary`]: the results as text
//!
//! `docs/PROOF.md` describes what is tried and how.

#![expect(clippy::disallowed_methods, reason = "clocks, threads and tasks here are the torture's, not the product's")]

pub mod checker;
pub mod clock;
pub mod foreign;
pub mod history;
pub mod lock;
pub mod matrix;
pub mod nemesis;
pub mod random;
pub mod register;
pub mod report;
pub mod run;
pub mod sensitivity;
pub mod summary;
pub mod supervisor;
pub mod worker;
pub mod workers;
