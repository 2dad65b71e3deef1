//! Locked functions that share their locks, or that have several at one moment.

use std::time::Duration;

use distributed_locks::{Error, Locks, Mode, distributed_lock};

use super::Wanted;
use super::options::Durations;
use crate::matrix::Function;
use crate::worker::steps::Steps;

/// In place of no limit: longer than any run.
const UNLIMITED: Duration = Duration::from_secs(300 * 24 * 3_600);

/// The options that all of these functions have.
#[derive(Clone, Copy)]
struct Limits {
    wait: Duration,
    most: Duration,
    least: Duration,
    permits: u32,
}

/// Declares locked functions with these arguments beside their client, their guard and their limits.
macro_rules! functions {
    ($($name:ident($keys:ident, $limits:ident) { $($arguments:tt)* })*) => { $(
        #[distributed_lock(
            client = locks, guard = held, wait = ($limits.wait), hold_at_most = ($limits.most), $($arguments)*
        )]
        async fn $name(locks: &Locks, $keys: &[String], $limits: Limits, body: Steps) -> Result<(), Error> {
            body.run(held).await;
            Ok(())
        }
    )* };
}

/// The same for plain functions, which have no `hold_at_most`.
macro_rules! plain_functions {
    ($($name:ident($keys:ident, $limits:ident) { $($arguments:tt)* })*) => { $(
        #[distributed_lock(client = locks, guard = held, wait = ($limits.wait), $($arguments)*)]
        fn $name(locks: &Locks, $keys: &[String], $limits: Limits, body: Steps) -> Result<(), Error> {
            distributed_locks::blocking(body.run(held));
            Ok(())
        }
    )* };
}

functions! {
    shared(keys, limits) { key = (at(keys, 0)), mode = shared }
    shared_keeping(keys, limits) { key = (at(keys, 0)), mode = shared, hold_at_least = (limits.least) }
    permits(keys, limits) { key = (at(keys, 0)), permits = (limits.permits) }
    permits_keeping(keys, limits) { key = (at(keys, 0)), permits = (limits.permits), hold_at_least = (limits.least) }
    several(keys, limits) { keys = [at(keys, 0), at(keys, 1), at(keys, 2)] }
    several_keeping(keys, limits) { keys = [at(keys, 0), at(keys, 1), at(keys, 2)], hold_at_least = (limits.least) }
    several_shared(keys, limits) { keys = [at(keys, 0), at(keys, 1), at(keys, 2)], mode = shared }
    several_shared_keeping(keys, limits) {
        keys = [at(keys, 0), at(keys, 1), at(keys, 2)], mode = shared, hold_at_least = (limits.least)
    }
    several_permits(keys, limits) { keys = [at(keys, 0), at(keys, 1), at(keys, 2)], permits = (limits.permits) }
    several_permits_keeping(keys, limits) {
        keys = [at(keys, 0), at(keys, 1), at(keys, 2)], permits = (limits.permits), hold_at_least = (limits.least)
    }
    continuing_shared(keys, limits) { key = (at(keys, 0)), mode = shared, on_lost = continue }
    continuing_shared_keeping(keys, limits) {
        key = (at(keys, 0)), mode = shared, on_lost = continue, hold_at_least = (limits.least)
    }
    continuing_permits(keys, limits) { key = (at(keys, 0)), permits = (limits.permits), on_lost = continue }
    continuing_permits_keeping(keys, limits) {
        key = (at(keys, 0)), permits = (limits.permits), on_lost = continue, hold_at_least = (limits.least)
    }
    continuing_several(keys, limits) { keys = [at(keys, 0), at(keys, 1), at(keys, 2)], on_lost = continue }
    continuing_several_keeping(keys, limits) {
        keys = [at(keys, 0), at(keys, 1), at(keys, 2)], on_lost = continue, hold_at_least = (limits.least)
    }
    continuing_several_shared(keys, limits) {
        keys = [at(keys, 0), at(keys, 1), at(keys, 2)], mode = shared, on_lost = continue
    }
    continuing_several_shared_keeping(keys, limits) {
        keys = [at(keys, 0), at(keys, 1), at(keys, 2)], mode = shared, on_lost = continue, hold_at_least = (limits.least)
    }
    continuing_several_permits(keys, limits) {
        keys = [at(keys, 0), at(keys, 1), at(keys, 2)], permits = (limits.permits), on_lost = continue
    }
    continuing_several_permits_keeping(keys, limits) {
        keys = [at(keys, 0), at(keys, 1), at(keys, 2)],
        permits = (limits.permits),
        on_lost = continue,
        hold_at_least = (limits.least)
    }
}

plain_functions! {
    blocking_shared(keys, limits) { key = (at(keys, 0)), mode = shared }
    blocking_shared_keeping(keys, limits) { key = (at(keys, 0)), mode = shared, hold_at_least = (limits.least) }
    blocking_permits(keys, limits) { key = (at(keys, 0)), permits = (limits.permits) }
    blocking_permits_keeping(keys, limits) {
        key = (at(keys, 0)), permits = (limits.permits), hold_at_least = (limits.least)
    }
    blocking_several(keys, limits) { keys = [at(keys, 0), at(keys, 1), at(keys, 2)] }
    blocking_several_keeping(keys, limits) {
        keys = [at(keys, 0), at(keys, 1), at(keys, 2)], hold_at_least = (limits.least)
    }
    blocking_several_shared(keys, limits) { keys = [at(keys, 0), at(keys, 1), at(keys, 2)], mode = shared }
    blocking_several_shared_keeping(keys, limits) {
        keys = [at(keys, 0), at(keys, 1), at(keys, 2)], mode = shared, hold_at_least = (limits.least)
    }
    blocking_several_permits(keys, limits) { keys = [at(keys, 0), at(keys, 1), at(keys, 2)], permits = (limits.permits) }
    blocking_several_permits_keeping(keys, limits) {
        keys = [at(keys, 0), at(keys, 1), at(keys, 2)], permits = (limits.permits), hold_at_least = (limits.least)
    }
}

/// The key with this number, or the last one: equal ones count once.
fn at(keys: &[String], number: usize) -> &str {
    keys.get(number).or(keys.last()).map_or("", String::as_str)
}

/// Calls the locked function of these locks; a plain one blocks the thread.
pub(super) async fn call(
    function: Function,
    locks: &Locks,
    wanted: &Wanted,
    durations: Durations,
    body: Steps,
) -> Result<(), Error> {
    let permits = if let Mode::Permits(limit) = wanted.mode { limit } else { 1 };
    let limits = Limits {
        wait: durations.wait.unwrap_or(UNLIMITED),
        most: durations.most.unwrap_or(UNLIMITED),
        least: durations.least.unwrap_or_default(),
        permits,
    };
    let arguments = (locks, wanted.keys.as_slice(), limits, body);
    match function {
        Function::Plain => plain(wanted, durations.least.is_some(), arguments),
        Function::Continuing => continuing(wanted, durations.least.is_some(), arguments).await,
        _ => stoppable(wanted, durations.least.is_some(), arguments).await,
    }
}

type Arguments<'a> = (&'a Locks, &'a [String], Limits, Steps);

async fn stoppable(wanted: &Wanted, keeps: bool, (locks, keys, limits, body): Arguments<'_>) -> Result<(), Error> {
    match (wanted.mode, keys.len() > 1, keeps) {
        (Mode::Shared, false, false) => shared(locks, keys, limits, body).await,
        (Mode::Shared, false, true) => shared_keeping(locks, keys, limits, body).await,
        (Mode::Shared, true, false) => several_shared(locks, keys, limits, body).await,
        (Mode::Shared, true, true) => several_shared_keeping(locks, keys, limits, body).await,
        (Mode::Permits(_), false, false) => permits(locks, keys, limits, body).await,
        (Mode::Permits(_), false, true) => permits_keeping(locks, keys, limits, body).await,
        (Mode::Permits(_), true, false) => several_permits(locks, keys, limits, body).await,
        (Mode::Permits(_), true, true) => several_permits_keeping(locks, keys, limits, body).await,
        (_, _, false) => several(locks, keys, limits, body).await,
        (_, _, true) => several_keeping(locks, keys, limits, body).await,
    }
}

async fn continuing(wanted: &Wanted, keeps: bool, (locks, keys, limits, body): Arguments<'_>) -> Result<(), Error> {
    match (wanted.mode, keys.len() > 1, keeps) {
        (Mode::Shared, false, false) => continuing_shared(locks, keys, limits, body).await,
        (Mode::Shared, false, true) => continuing_shared_keeping(locks, keys, limits, body).await,
        (Mode::Shared, true, false) => continuing_several_shared(locks, keys, limits, body).await,
        (Mode::Shared, true, true) => continuing_several_shared_keeping(locks, keys, limits, body).await,
        (Mode::Permits(_), false, false) => continuing_permits(locks, keys, limits, body).await,
        (Mode::Permits(_), false, true) => continuing_permits_keeping(locks, keys, limits, body).await,
        (Mode::Permits(_), true, false) => continuing_several_permits(locks, keys, limits, body).await,
        (Mode::Permits(_), true, true) => continuing_several_permits_keeping(locks, keys, limits, body).await,
        (_, _, false) => continuing_several(locks, keys, limits, body).await,
        (_, _, true) => continuing_several_keeping(locks, keys, limits, body).await,
    }
}

fn plain(wanted: &Wanted, keeps: bool, (locks, keys, limits, body): Arguments<'_>) -> Result<(), Error> {
    match (wanted.mode, keys.len() > 1, keeps) {
        (Mode::Shared, false, false) => blocking_shared(locks, keys, limits, body),
        (Mode::Shared, false, true) => blocking_shared_keeping(locks, keys, limits, body),
        (Mode::Shared, true, false) => blocking_several_shared(locks, keys, limits, body),
        (Mode::Shared, true, true) => blocking_several_shared_keeping(locks, keys, limits, body),
        (Mode::Permits(_), false, false) => blocking_permits(locks, keys, limits, body),
        (Mode::Permits(_), false, true) => blocking_permits_keeping(locks, keys, limits, body),
        (Mode::Permits(_), true, false) => blocking_several_permits(locks, keys, limits, body),
        (Mode::Permits(_), true, true) => blocking_several_permits_keeping(locks, keys, limits, body),
        (_, _, false) => blocking_several(locks, keys, limits, body),
        (_, _, true) => blocking_several_keeping(locks, keys, limits, body),
    }
}
