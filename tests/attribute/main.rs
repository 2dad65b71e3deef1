//! The attribute on every kind of function, run on the memory store. One file for each kind.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed step is a failed test")]

mod arguments;
mod async_trait;
mod by_hand;
mod client;
mod composition;
mod free;
mod generics;
mod guard;
mod impl_future;
mod keys;
mod leading;
mod methods;
mod modes;
mod options;
mod patterns;
mod plain;
mod recursion;
mod renamed;
mod return_types;
mod send;
mod size;
mod templates;
mod traits;

use distributed_locks::{Error, ErrorKind, Locks};
use std::fmt::Debug;

/// A store that no other test sees.
fn store(name: &str) -> Locks {
    Locks::connect(format!("memory:{name}")).unwrap()
}

/// Asserts that `call` acquires the lock `key`: it runs while `key` is free, and is refused while `key` is held. `call` must
/// not wait.
async fn assert_locked<T: Debug>(locks: &Locks, key: &str, call: impl AsyncFn() -> Result<T, Error>) {
    distributed_locks::scoped(locks.clone(), call()).await.expect("the lock is free");
    let guard = locks.lock(key).try_acquire().await.unwrap().expect("the call has released the lock");
    let error =
        distributed_locks::scoped(locks.clone(), call()).await.expect_err("the body ran although the lock is held");
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert_eq!(error.key().map(|key| key.as_str()), Some(key));
    guard.release().await.unwrap();
    distributed_locks::scoped(locks.clone(), call()).await.expect("the lock is free again");
}

/// The key of the lock around the caller.
fn current_key() -> String {
    distributed_locks::current().expect("no lock is held").key().to_string()
}
