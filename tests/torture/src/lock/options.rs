//! Locked functions with every combination of options, and the same without the attribute.

use std::time::Duration;

use distributed_locks::{Error, Guard, Lock, Locks, Mode, distributed_lock};

use super::{Wanted, modes};
use crate::matrix::Function;
use crate::worker::steps::{Inner, Steps};

/// The options of a call that are durations.
#[derive(Clone, Copy, Debug, Default)]
pub struct Durations {
    /// `wait`.
    pub wait: Option<Duration>,
    /// `hold_at_least`.
    pub least: Option<Duration>,
    /// `hold_at_most`.
    pub most: Option<Duration>,
}

/// Declares locked functions with these arguments beside their key, their client and their guard.
macro_rules! functions {
    ($($name:ident($options:ident) { $($argument:ident = $value:tt),* })*) => { $(
        #[distributed_lock(key = key, client = locks, guard = held $(, $argument = $value)*)]
        async fn $name(locks: &Locks, key: &str, $options: Durations, body: Steps) -> Result<(), Error> {
            body.run(held).await;
            Ok(())
        }
    )* };
}

functions! {
    simple(_options) {}
    waiting(options) { wait = (set(options.wait)) }
    keeping(options) { hold_at_least = (set(options.least)) }
    limited(options) { hold_at_most = (set(options.most)) }
    waiting_keeping(options) { wait = (set(options.wait)), hold_at_least = (set(options.least)) }
    waiting_limited(options) { wait = (set(options.wait)), hold_at_most = (set(options.most)) }
    keeping_limited(options) { hold_at_least = (set(options.least)), hold_at_most = (set(options.most)) }
    waiting_keeping_limited(options) { wait = (set(options.wait)), hold_at_least = (set(options.least)), hold_at_most = (set(options.most)) }
    continuing(_options) { on_lost = continue }
    continuing_waiting(options) { on_lost = continue, wait = (set(options.wait)) }
    continuing_keeping(options) { on_lost = continue, hold_at_least = (set(options.least)) }
    continuing_limited(options) { on_lost = continue, hold_at_most = (set(options.most)) }
    continuing_waiting_keeping(options) { on_lost = continue, wait = (set(options.wait)), hold_at_least = (set(options.least)) }
    continuing_waiting_limited(options) { on_lost = continue, wait = (set(options.wait)), hold_at_most = (set(options.most)) }
    continuing_keeping_limited(options) { on_lost = continue, hold_at_least = (set(options.least)), hold_at_most = (set(options.most)) }
    continuing_waiting_keeping_limited(options) {
        on_lost = continue,
        wait = (set(options.wait)),
        hold_at_least = (set(options.least)),
        hold_at_most = (set(options.most))
    }
}

/// The same for plain functions, which have no `hold_at_most`.
macro_rules! plain_functions {
    ($($name:ident($options:ident) { $($argument:ident = $value:tt),* })*) => { $(
        #[distributed_lock(key = key, client = locks, guard = held $(, $argument = $value)*)]
        fn $name(locks: &Locks, key: &str, $options: Durations, body: Steps) -> Result<(), Error> {
            distributed_locks::blocking(body.run(held));
            Ok(())
        }
    )* };
}

plain_functions! {
    blocking(_options) {}
    blocking_waiting(options) { wait = (set(options.wait)) }
    blocking_keeping(options) { hold_at_least = (set(options.least)) }
    blocking_waiting_keeping(options) { wait = (set(options.wait)), hold_at_least = (set(options.least)) }
}

#[distributed_lock(key = key, client = locks, guard = held)]
async fn inner(locks: &Locks, key: &str, body: Inner) -> Result<(), Error> {
    body.run(held).await;
    Ok(())
}

#[distributed_lock(key = key, client = locks, hold_at_least = least, guard = held)]
async fn inner_least(locks: &Locks, key: &str, least: Duration, body: Inner) -> Result<(), Error> {
    body.run(held).await;
    Ok(())
}

#[distributed_lock(key = key, client = locks, on_lost = continue, guard = held)]
async fn inner_continuing(locks: &Locks, key: &str, body: Inner) -> Result<(), Error> {
    body.run(held).await;
    Ok(())
}

#[distributed_lock(key = key, client = locks, on_lost = continue, hold_at_least = least, guard = held)]
async fn inner_continuing_least(locks: &Locks, key: &str, least: Duration, body: Inner) -> Result<(), Error> {
    body.run(held).await;
    Ok(())
}

#[distributed_lock(key = key, client = locks, guard = held)]
fn inner_plain(locks: &Locks, key: &str, body: Inner) -> Result<(), Error> {
    distributed_locks::blocking(body.run(held));
    Ok(())
}

#[distributed_lock(key = key, client = locks, hold_at_least = least, guard = held)]
fn inner_plain_least(locks: &Locks, key: &str, least: Duration, body: Inner) -> Result<(), Error> {
    distributed_locks::blocking(body.run(held));
    Ok(())
}

#[distributed_lock(key = key, client = locks, mode = shared, guard = held)]
async fn inner_shared(locks: &Locks, key: &str, body: Inner) -> Result<(), Error> {
    body.run(held).await;
    Ok(())
}

#[distributed_lock(key = key, client = locks, mode = shared, hold_at_least = least, guard = held)]
async fn inner_shared_least(locks: &Locks, key: &str, least: Duration, body: Inner) -> Result<(), Error> {
    body.run(held).await;
    Ok(())
}

#[distributed_lock(key = key, client = locks, permits = 2, guard = held)]
async fn inner_permit(locks: &Locks, key: &str, body: Inner) -> Result<(), Error> {
    body.run(held).await;
    Ok(())
}

#[distributed_lock(key = key, client = locks, permits = 2, hold_at_least = least, guard = held)]
async fn inner_permit_least(locks: &Locks, key: &str, least: Duration, body: Inner) -> Result<(), Error> {
    body.run(held).await;
    Ok(())
}

#[distributed_lock(key = key, client = locks, mode = shared, guard = held)]
fn inner_plain_shared(locks: &Locks, key: &str, body: Inner) -> Result<(), Error> {
    distributed_locks::blocking(body.run(held));
    Ok(())
}

#[distributed_lock(key = key, client = locks, permits = 2, guard = held)]
fn inner_plain_permit(locks: &Locks, key: &str, body: Inner) -> Result<(), Error> {
    distributed_locks::blocking(body.run(held));
    Ok(())
}

/// A duration that is there: the function that has the argument is called for no other.
fn set(duration: Option<Duration>) -> Duration {
    duration.unwrap_or_default()
}

/// Calls the locked function, or what takes its place. A plain one blocks the thread.
///
/// # Errors
///
/// Those of the lock.
pub async fn call(
    function: Function,
    locks: &Locks,
    wanted: &Wanted,
    options: Durations,
    body: Steps,
) -> Result<(), Error> {
    let Durations { wait, least, most } = options;
    let key = wanted.key();
    let is_continuing = function == Function::Continuing;
    match (function, wait.is_some(), least.is_some(), most.is_some()) {
        (Function::Run, ..) => with(wanted.of(locks), options).run(|held| async move { body.run(&held).await }).await,
        (Function::Guard, ..) => guarded(with(wanted.of(locks), options), body).await,
        _ if !wanted.is_alone() => modes::call(function, locks, wanted, options, body).await,
        (Function::Plain, false, false, _) => blocking(locks, key, options, body),
        (Function::Plain, true, false, _) => blocking_waiting(locks, key, options, body),
        (Function::Plain, false, true, _) => blocking_keeping(locks, key, options, body),
        (Function::Plain, true, true, _) => blocking_waiting_keeping(locks, key, options, body),
        (_, false, false, false) if is_continuing => continuing(locks, key, options, body).await,
        (_, true, false, false) if is_continuing => continuing_waiting(locks, key, options, body).await,
        (_, false, true, false) if is_continuing => continuing_keeping(locks, key, options, body).await,
        (_, false, false, true) if is_continuing => continuing_limited(locks, key, options, body).await,
        (_, true, true, false) if is_continuing => continuing_waiting_keeping(locks, key, options, body).await,
        (_, true, false, true) if is_continuing => continuing_waiting_limited(locks, key, options, body).await,
        (_, false, true, true) if is_continuing => continuing_keeping_limited(locks, key, options, body).await,
        (_, true, true, true) if is_continuing => continuing_waiting_keeping_limited(locks, key, options, body).await,
        (_, false, false, false) => simple(locks, key, options, body).await,
        (_, true, false, false) => waiting(locks, key, options, body).await,
        (_, false, true, false) => keeping(locks, key, options, body).await,
        (_, false, false, true) => limited(locks, key, options, body).await,
        (_, true, true, false) => waiting_keeping(locks, key, options, body).await,
        (_, true, false, true) => waiting_limited(locks, key, options, body).await,
        (_, false, true, true) => keeping_limited(locks, key, options, body).await,
        (_, true, true, true) => waiting_keeping_limited(locks, key, options, body).await,
    }
}

/// Calls a function of the same kind inside a body of this function.
///
/// # Errors
///
/// Those of the lock.
pub async fn call_inner(
    function: Function,
    locks: &Locks,
    (key, mode): (&str, Mode),
    least: Option<Duration>,
    body: Inner,
) -> Result<(), Error> {
    match (function, least) {
        (Function::Plain, None) if mode == Mode::Shared => inner_plain_shared(locks, key, body),
        (Function::Plain, None) if matches!(mode, Mode::Permits(_)) => inner_plain_permit(locks, key, body),
        (_, None) if mode == Mode::Shared => inner_shared(locks, key, body).await,
        (_, None) if matches!(mode, Mode::Permits(_)) => inner_permit(locks, key, body).await,
        (_, Some(least)) if mode == Mode::Shared => inner_shared_least(locks, key, least, body).await,
        (_, Some(least)) if matches!(mode, Mode::Permits(_)) => inner_permit_least(locks, key, least, body).await,
        (Function::Plain, None) => inner_plain(locks, key, body),
        (Function::Plain, Some(least)) => inner_plain_least(locks, key, least, body),
        (Function::Continuing, None) => inner_continuing(locks, key, body).await,
        (Function::Continuing, Some(least)) => inner_continuing_least(locks, key, least, body).await,
        (_, None) => inner(locks, key, body).await,
        (_, Some(least)) => inner_least(locks, key, least, body).await,
    }
}

fn with(mut lock: Lock, options: Durations) -> Lock {
    let Durations { wait, least, most } = options;
    if let Some(wait) = wait {
        lock = lock.wait(wait);
    }
    if let Some(least) = least {
        lock = lock.hold_at_least(least);
    }
    if let Some(most) = most {
        lock = lock.hold_at_most(most);
    }
    lock
}

/// A guard, and a body that its user stops when the guard says that it is over.
async fn guarded(lock: Lock, body: Steps) -> Result<(), Error> {
    let guard: Guard = lock.acquire().await?;
    tokio::select! {
        biased;
        error = guard.lost() => return Err(error),
        () = body.run(&guard) => {}
    }
    // The body has run to its end; a lock that was lost since harms nobody.
    let _ = guard.release().await;
    Ok(())
}
