//! Tries to break the lock, and would see it.
//!
//! - [`history`]: what happened, as everybody who takes part wrote it down
//! - [`checker`]: the rules that a history must keep, and what of it breaks them
//!
//! `docs/PROOF.md` tells what is tortured and how.

#![expect(clippy::disallowed_methods, reason = "clocks, threads and tasks here are the torture's, not the product's")]

pub mod checker;
pub mod clock;
pub mod history;
pub mod random;
