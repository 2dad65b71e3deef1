//! Waiting at a store that cannot notify: asking again, soon at first, then in a jittered rhythm.

use crate::error::Error;
use crate::random;
use std::time::Duration;

/// How often to ask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rhythm {
    /// The longest first pause.
    pub first: Duration,
    /// The longest pause of all, which bounds the hand-off.
    pub longest: Duration,
}

/// The answer to one try.
#[derive(Debug)]
pub(super) enum Answer<T> {
    /// It is ours.
    Won(T),
    /// Somebody has it, no telling how long.
    Taken,
    /// Nobody can have it for this long.
    TakenFor(Duration),
}

/// Tries until the store says that it is ours, or fails.
///
/// # Cancel safety
///
/// Dropped between two tries it leaves what the last `attempt` left in the store.
pub(super) async fn until_won<T, F, A>(rhythm: Rhythm, mut attempt: F) -> Result<T, Error>
where
    F: FnMut() -> A,
    A: Future<Output = Result<Answer<T>, Error>>,
{
    let mut pause = rhythm.first;
    loop {
        match attempt().await? {
            Answer::Won(prize) => return Ok(prize),
            Answer::Taken => {
                // Half of it is chance, so that the waiters of many processes do not ask in step.
                tokio::time::sleep(random::between(pause / 2, pause)).await;
                pause = pause.mul_f64(1.5).min(rhythm.longest);
            }
            Answer::TakenFor(left) => {
                tokio::time::sleep(left).await;
                pause = rhythm.first;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const RHYTHM: Rhythm = Rhythm { first: Duration::from_millis(10), longest: Duration::from_millis(50) };

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_the_longest_and_no_further() {
        let clock = Clock::of_this_runtime();
        let mut asked = Vec::new();
        let won = until_won(RHYTHM, || {
            asked.push(clock.now());
            let answer = if asked.len() == 100 { Answer::Won(7) } else { Answer::Taken };
            async move { Ok(answer) }
        });
        assert_eq!(won.await.unwrap(), 7);
        let pauses: Vec<_> = asked.windows(2).map(|two| two[1].since(two[0])).collect();
        // The runtime's timer adds up to a millisecond.
        assert!(pauses[0] <= RHYTHM.first + Duration::from_millis(1), "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= RHYTHM.longest + Duration::from_millis(1)), "{pauses:?}");
        assert!(pauses[10..].iter().all(|pause| *pause >= RHYTHM.longest / 2), "{pauses:?}");
        assert!(pauses[10..].iter().any(|pause| *pause != pauses[10]), "no jitter: {pauses:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_known_time_is_slept_through_in_one_piece() {
        let clock = Clock::of_this_runtime();
        let start = clock.now();
        let mut tries = 0;
        until_won(RHYTHM, || {
            tries += 1;
            let answer = if tries == 2 { Answer::Won(()) } else { Answer::TakenFor(Duration::from_secs(9)) };
            async move { Ok(answer) }
        })
        .await
        .unwrap();
        assert!(clock.now().since(start) >= Duration::from_secs(9));
    }

    #[tokio::test]
    async fn a_failure_ends_it() {
        let failed = until_won(RHYTHM, || async { Err::<Answer<()>, _>(Error::unavailable("gone")) }).await;
        assert_eq!(failed.unwrap_err().to_string(), "gone");
    }
}
