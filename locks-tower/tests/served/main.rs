//! Real servers on real sockets, two of each with clients of their own for one store.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed step is a failed test")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]

mod bodies;
mod grpc;
mod idempotency;
mod readiness;
mod requests;
mod support;
