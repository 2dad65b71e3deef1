//! The attribute together with those of other crates, in both orders where both make sense. One file for each crate.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]

mod apalis_job;
mod axum_handler;
mod cron_job;
mod recipes;
mod rstest_case;
mod sqlx_test;
mod ticks;
mod tonic_service;
mod tower_service;

use distributed_locks::{Locks, blocking};

/// A client of this process's only store.
fn store() -> Locks {
    Locks::connect("memory:compose").unwrap()
}

/// Whether this is the body of a function that holds `key`, and nobody else can have it.
async fn is_locked(key: &str) -> bool {
    let inside = distributed_locks::current().is_some_and(|guard| guard.key().as_str() == key);
    inside && store().lock(key).try_acquire().await.unwrap().is_none()
}

/// [`is_locked`] for a body that does not await.
fn is_locked_here(key: &str) -> bool {
    blocking(is_locked(key))
}
