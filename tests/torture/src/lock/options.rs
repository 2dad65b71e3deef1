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

/// Declares a function that is called inside the body of another one, with these arguments, and the same with `hold_at_least`.
macro_rules! inner {
    (async $name:ident, $least:ident { $($argument:ident = $value:tt),* }) => {
        inner!(@one (async) $name() |held, body| { body.run(held).await } $($argument = $value),*);
        inner!(@one (async) $least(least: Duration,) |held, body| { body.run(held).await } hold_at_least = least $(, $argument = $value)*);
    };
    (plain $name:ident, $least:ident { $($argument:ident = $value:tt),* }) => {
        inner!(@one () $name() |held, body| { distributed_locks::blocking(body.run(held)) } $($argument = $value),*);
        inner!(@one () $least(least: Duration,) |held, body| { distributed_locks::blocking(body.run(held)) } hold_at_least = least $(, $argument = $value)*);
    };
    (@one ($($async:ident)?) $name:ident($($least:tt)*) |$held:ident, $body:ident| $run:block $($argument:ident = $value:tt),*) => {
        #[distributed_lock(key = key, client = locks, guard = $held $(, $argument = $value)*)]
        $($async)? fn $name(locks: &Locks, key: &str, $($least)* $body: Inner) -> Result<(), Error> {
            $run;
            Ok(())
        }
    };
}

inner! { async inner, inner_least {} }
inner! { async inner_shared, inner_shared_least { mode = shared } }
inner! { async inner_permit, inner_permit_least { permits = 2 } }
inner! { async inner_continuing, inner_continuing_least { on_lost = continue } }
inner! { async inner_continuing_shared, inner_continuing_shared_least { on_lost = continue, mode = shared } }
inner! { async inner_continuing_permit, inner_continuing_permit_least { on_lost = continue, permits = 2 } }
inner! { plain inner_plain, inner_plain_least {} }
inner! { plain inner_plain_shared, inner_plain_shared_least { mode = shared } }
inner! { plain inner_plain_permit, inner_plain_permit_least { permits = 2 } }

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
    match (function, mode, least) {
        (Function::Plain, Mode::Shared, None) => inner_plain_shared(locks, key, body),
        (Function::Plain, Mode::Shared, Some(least)) => inner_plain_shared_least(locks, key, least, body),
        (Function::Plain, Mode::Permits(_), None) => inner_plain_permit(locks, key, body),
        (Function::Plain, Mode::Permits(_), Some(least)) => inner_plain_permit_least(locks, key, least, body),
        (Function::Plain, _, None) => inner_plain(locks, key, body),
        (Function::Plain, _, Some(least)) => inner_plain_least(locks, key, least, body),
        (Function::Continuing, Mode::Shared, None) => inner_continuing_shared(locks, key, body).await,
        (Function::Continuing, Mode::Shared, Some(least)) => {
            inner_continuing_shared_least(locks, key, least, body).await
        }
        (Function::Continuing, Mode::Permits(_), None) => inner_continuing_permit(locks, key, body).await,
        (Function::Continuing, Mode::Permits(_), Some(least)) => {
            inner_continuing_permit_least(locks, key, least, body).await
        }
        (Function::Continuing, _, None) => inner_continuing(locks, key, body).await,
        (Function::Continuing, _, Some(least)) => inner_continuing_least(locks, key, least, body).await,
        (_, Mode::Shared, None) => inner_shared(locks, key, body).await,
        (_, Mode::Shared, Some(least)) => inner_shared_least(locks, key, least, body).await,
        (_, Mode::Permits(_), None) => inner_permit(locks, key, body).await,
        (_, Mode::Permits(_), Some(least)) => inner_permit_least(locks, key, least, body).await,
        (_, _, None) => inner(locks, key, body).await,
        (_, _, Some(least)) => inner_least(locks, key, least, body).await,
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
