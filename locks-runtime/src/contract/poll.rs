//! Waiting at a store that cannot notify: asking again, soon at first, then in a jittered rhythm.

use super::backoff::Backoff;
use crate::values::error::Error;
use crate::world::World;
use std::time::Duration;

/// How often to ask.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// The longest first pause.
    pub first: Duration,
    /// The longest pause of all, which bounds the hand-off.
    pub longest: Duration,
}

/// The outcome of one try.
#[derive(Debug)]
pub enum Outcome<T> {
    /// The lock is ours.
    Acquired(T),
    /// It is held, no telling for how long.
    Busy,
    /// Nobody can have it for this long.
    BusyFor(Duration),
}

/// Tries until the store says that it is ours, or fails.
///
/// # Cancel safety
///
/// Dropped between two tries it leaves what the last `attempt` left in the store.
pub async fn until_acquired<T, F, A>(world: &World, rhythm: Rhythm, mut attempt: F) -> Result<T, Error>
where
    F: FnMut() -> A,
    A: Future<Output = Result<Outcome<T>, Error>>,
{
    // Half of each pause is chance, so that the waiters of many processes do not ask in step.
    let mut pauses = Backoff::new(world, rhythm.first, rhythm.longest);
    loop {
        match attempt().await? {
            Outcome::Acquired(value) => return Ok(value),
            Outcome::Busy => pauses.wait().await,
            Outcome::BusyFor(left) => {
                tokio::time::sleep(left).await;
                pauses.reset();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RHYTHM: Rhythm = Rhythm { first: Duration::from_millis(10), longest: Duration::from_millis(50) };

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_the_longest_and_no_further() {
        let world = World::here();
        let mut asked = Vec::new();
        let acquired = until_acquired(&world, RHYTHM, || {
            asked.push(world.now());
            let outcome = if asked.len() == 100 { Outcome::Acquired(7) } else { Outcome::Busy };
            async move { Ok(outcome) }
        });
        assert_eq!(acquired.await.unwrap(), 7);
        let pauses: Vec<_> = asked.windows(2).map(|two| two[1].since(two[0])).collect();
        // The runtime's timer adds up to a millisecond.
        assert!(pauses[0] <= RHYTHM.first + Duration::from_millis(1), "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= RHYTHM.longest + Duration::from_millis(1)), "{pauses:?}");
        assert!(pauses[10..].iter().all(|pause| *pause >= RHYTHM.longest / 2), "{pauses:?}");
        assert!(pauses[10..].iter().any(|pause| *pause != pauses[10]), "no jitter: {pauses:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_known_time_is_slept_through_in_one_piece() {
        let world = World::here();
        let start = world.now();
        let mut tries = 0;
        until_acquired(&world, RHYTHM, || {
            tries += 1;
            let outcome = if tries == 2 { Outcome::Acquired(()) } else { Outcome::BusyFor(Duration::from_secs(9)) };
            async move { Ok(outcome) }
        })
        .await
        .unwrap();
        assert!(world.now().since(start) >= Duration::from_secs(9));
    }

    #[tokio::test]
    async fn a_failure_ends_it() {
        let failed =
            until_acquired(&World::here(), RHYTHM, || async { Err::<Outcome<()>, _>(Error::unavailable("gone")) })
                .await;
        assert_eq!(failed.unwrap_err().to_string(), "gone");
    }
}
