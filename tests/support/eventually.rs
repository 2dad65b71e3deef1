use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(10);

/// Asks again and again until the answer is `Ok`, and returns what is inside.
///
/// For effects that nothing announces, such as "etcdctl shows no key any more". What happens in this process has a
/// better sign than that: await it.
///
/// # Panics
///
/// After `within`, with the last `Err`: let it tell what was seen.
///
/// # Examples
///
/// ```
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut left = vec!["a", "b"];
/// support::eventually(Duration::from_secs(1), async || {
///     left.pop();
///     if left.is_empty() { Ok(()) } else { Err(format!("still there: {left:?}")) }
/// })
/// .await;
/// # }
/// ```
#[track_caller]
pub fn eventually<T, E: Debug>(
    within: Duration,
    mut probe: impl AsyncFnMut() -> Result<T, E>,
) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let start = Instant::now();
        loop {
            let seen = match probe().await {
                Ok(value) => return value,
                Err(seen) => seen,
            };
            assert!(start.elapsed() < within, "not within {within:?} at {caller}; last seen: {seen:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }
}
