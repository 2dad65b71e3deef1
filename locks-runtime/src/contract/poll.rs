//! Polling, for stores that cannot notify: waiting for a lock, and watching for changes.

use super::backoff::Backoff;
use super::changes::Holders;
use super::line::Change;
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::target::TARGET;
use crate::world::World;
use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;
use tokio::sync::mpsc;

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

/// Who holds each lock, one or several, each with what distinguishes one hold from the next (its fence, say).
pub type Held<Id> = BTreeMap<Key, Vec<(Id, Holder)>>;

/// How many changes may be unread before polling waits for the reader.
const UNREAD: usize = 64;

/// The longest pause while the store does not answer.
const LONGEST_RETRY: Duration = Duration::from_secs(2);

/// At most this share of the time goes into looking.
const SHARE: u32 = 20;

/// Looks at who holds what, about every `pause`, and reports the differences: for [`Store::watch`](super::Store::watch).
///
/// While the store is `Unavailable` it looks more rarely, up to every two seconds. It ends when the receiver is dropped, or
/// after an error of another kind.
///
/// # Errors
///
/// Those of the first look.
///
/// # Cancel safety
///
/// Dropping it ends it.
pub async fn watch<Id, F, A>(world: &World, pause: Duration, mut look: F) -> Result<mpsc::Receiver<Change>, Error>
where
    Id: PartialEq + Send + 'static,
    F: FnMut() -> A + Send + 'static,
    A: Future<Output = Result<Held<Id>, Error>> + Send + 'static,
{
    let mut holders = Holders::default();
    // What is held by now is no change.
    holders.replace(look().await?);
    let (sender, receiver) = mpsc::channel(UNREAD);
    world.spawn(report(world.clone(), pause, look, holders, sender));
    Ok(receiver)
}

async fn report<Id: PartialEq, A>(
    world: World,
    pause: Duration,
    mut look: impl FnMut() -> A,
    mut holders: Holders<Id>,
    sender: mpsc::Sender<Change>,
) where
    A: Future<Output = Result<Held<Id>, Error>>,
{
    let mut backoff = Backoff::new(&world, pause, LONGEST_RETRY);
    let mut next = backoff.pause();
    loop {
        tokio::select! {
            biased;
            () = sender.closed() => return,
            () = tokio::time::sleep(next) => {}
        }
        let start = world.now();
        match look().await {
            Ok(now) => {
                for change in holders.replace(now) {
                    if sender.send(change).await.is_err() {
                        return;
                    }
                }
                backoff.reset();
                next = backoff.pause().max(world.now().since(start) * SHARE);
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => next = backoff.pause(),
            Err(error) => {
                tracing::warn!(target: TARGET, error = %error.chain(), "locks can no longer be watched");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::mutex::Mutex;
    use std::sync::Arc;

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

    #[tokio::test(start_paused = true)]
    async fn a_slow_look_is_repeated_rarely() {
        let world = World::here();
        let begun = Arc::new(Mutex::new(Vec::new()));
        let (clock, looks) = (world.clone(), Arc::clone(&begun));
        let look = move || {
            looks.lock().push(clock.now());
            let is_last = looks.lock().len() == 5;
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if is_last { Err(Error::new(ErrorKind::Unauthorized, "enough")) } else { Ok(Held::<u64>::new()) }
            }
        };
        let mut changes = watch(&world, Duration::from_millis(100), look).await.unwrap();
        assert_eq!(changes.recv().await, None);
        let begun = begun.lock();
        // The first pause comes before it is known how long a look takes.
        let between: Vec<_> = begun[1..].windows(2).map(|two| two[1].since(two[0])).collect();
        assert!(between.iter().all(|between| *between >= Duration::from_secs(1) * (SHARE + 1)), "{between:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_reports_what_differs_and_survives_an_outage() {
        let key = |name: &str| Key::new(name).unwrap();
        let held = |holds: &[(&str, u64)]| -> Held<u64> {
            holds.iter().map(|(name, fence)| (key(name), vec![(*fence, Holder::default())])).collect()
        };
        let looks = [
            Ok(held(&[("a", 1), ("b", 1)])),
            Err(Error::unavailable("an outage")),
            Ok(held(&[("a", 1), ("b", 2)])),
            Err(Error::new(ErrorKind::Unauthorized, "the role was dropped")),
        ];
        let mut looks = looks.into_iter();
        let look = move || std::future::ready(looks.next().unwrap());
        let mut changes = watch(&World::here(), Duration::from_millis(100), look).await.unwrap();
        assert_eq!(changes.recv().await, Some(Change::Released(key("b"))));
        assert_eq!(changes.recv().await, Some(Change::Acquired(key("b"), Holder::default())));
        assert_eq!(changes.recv().await, None);
    }
}
