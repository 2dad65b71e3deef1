//! The page without a browser: who may see it, what it sends, what it does.

#![expect(clippy::disallowed_methods, reason = "tasks here are the tests', not the product's")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed step is a failed test")]

mod access;
mod force;
mod shown;
mod streams;
mod support;
