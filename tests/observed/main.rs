//! Spans, events and metrics, by name: what a person on call relies on.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test whose preparation fails has failed")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]

mod endings;
mod events;
mod hidden;
mod log;
mod measured;
