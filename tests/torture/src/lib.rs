//! Tries to break the lock, and would see it.
//!
//! - [`run`]: one run, from the first worker to the verdict
//! - [`nemesis`]: what breaks everything around the lock, by a plan that the seed decides
//! - [`crew`] and [`worker`]: the processes that call locked functions, and what runs in them
//! - [`lock`]: the lock that is proved, and three that are broken on purpose
//! - [`register`]: what the locks protect, and what refuses whoever comes late
//! - [`direct`]: the torture's own way to the store
//! - [`history`]: what happened, as everybody who takes part wrote it down
//! - [`checker`]: the rules that a history must keep, and what of it breaks them
//! - [`report`] and [`summary`]: for people
//!
//! `docs/PROOF.md` tells what is tortured and how.

#![expect(clippy::disallowed_methods, reason = "clocks, threads and tasks here are the torture's, not the product's")]

pub mod checker;
pub mod clock;
pub mod crew;
pub mod direct;
pub mod history;
pub mod lock;
pub mod nemesis;
pub mod random;
pub mod register;
pub mod report;
pub mod run;
pub mod summary;
pub mod worker;
