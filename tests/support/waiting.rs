//! Waiting, on a machine that may be busy.

use std::fmt::Debug;
use std::panic::Location;
use std::time::{Duration, Instant};

/// What takes longer than this hangs. It is far beyond what anything takes on the busiest machine, and no measure of how
/// fast something is: for that, see [`once_within`].
pub const HANG_LIMIT: Duration = Duration::from_secs(60);

/// How many times [`once_within`] tries.
const ROUNDS: usize = 8;

/// The pause between two probes: a tenth of the time that passed, within these. A probe asks servers, or starts a program:
/// a hundred of them in a second would take the machine from what they wait for.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Probes again and again until the result is `Ok`, and returns what is inside.
///
/// For effects that nothing announces, such as "etcdctl shows no key any more". What happens in this process can be
/// awaited itself: see [`in_time`].
///
/// # Panics
///
/// After the [`HANG_LIMIT`], with the last `Err`: put into it what was seen.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut left = vec!["a", "b"];
/// support::eventually(async || {
///     left.pop();
///     if left.is_empty() { Ok(()) } else { Err(format!("still there: {left:?}")) }
/// })
/// .await;
/// # }
/// ```
#[track_caller]
pub fn eventually<T, E: Debug>(mut probe: impl AsyncFnMut() -> Result<T, E>) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        let start = Instant::now();
        loop {
            let seen = match probe().await {
                Ok(value) => return value,
                Err(seen) => seen,
            };
            let elapsed = start.elapsed();
            assert!(elapsed < HANG_LIMIT, "not within {HANG_LIMIT:?} at {caller}; last seen: {seen:?}");
            tokio::time::sleep((elapsed / 10).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)).await;
        }
    }
}

/// What the future returns.
///
/// # Panics
///
/// After the [`HANG_LIMIT`].
#[track_caller]
pub fn in_time<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = Location::caller();
    async move {
        let result = tokio::time::timeout(HANG_LIMIT, future).await;
        result.unwrap_or_else(|_| panic!("hangs: not done after {HANG_LIMIT:?} at {caller}"))
    }
}

/// Shows that something takes less than `limit`, by one of several rounds. Each round returns how long it took.
///
/// A busy machine makes some rounds slow, and not all of them. So choose a limit that the wrong way of doing it misses
/// every time: if a waiter without a notification looks every four seconds, two seconds distinguish the two.
///
/// # Panics
///
/// If every round took longer.
#[track_caller]
pub fn once_within(limit: Duration, mut round: impl AsyncFnMut() -> Duration) -> impl Future<Output = ()> {
    let caller = Location::caller();
    async move {
        let mut took = Vec::new();
        for _ in 0..ROUNDS {
            took.push(round().await);
            if took.last() < Some(&limit) {
                return;
            }
        }
        panic!("never within {limit:?} at {caller}; the rounds took {took:?}");
    }
}
