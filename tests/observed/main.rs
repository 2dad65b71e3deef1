//! Spans, events and metrics, by name: what a person on call relies on.

#![expect(clippy::unwrap_used, reason = "a test whose preparation fails has failed")]

mod endings;
mod events;
mod hidden;
mod log;
mod measured;
