//! How long to wait before a request is retried.

use crate::world::World;
use crate::world::clock::Moment;
use std::time::Duration;

/// Pauses that double up to a limit, each with jitter: between half of it and all of it.
#[derive(Clone, Debug)]
pub struct Backoff {
    world: World,
    shortest: Duration,
    longest: Duration,
    next: Duration,
    reset_after: Option<Duration>,
    last: Moment,
}

impl Backoff {
    /// Pauses from `shortest` to `longest`.
    #[must_use]
    pub fn new(world: &World, shortest: Duration, longest: Duration) -> Self {
        let next = shortest.min(longest);
        Self { next, shortest: next, longest, reset_after: None, last: world.now(), world: world.clone() }
    }

    /// For a stream that should stay open: from 50 ms to 2 s, and short again after it was open for longer than that.
    #[must_use]
    pub fn of_stream(world: &World) -> Self {
        let longest = Duration::from_secs(2);
        Self { reset_after: Some(longest), ..Self::new(world, Duration::from_millis(50), longest) }
    }

    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        if self.reset_after.is_some_and(|quiet| self.world.now().since(self.last) > quiet) {
            self.reset();
        }
        let pause = self.world.between(self.next / 2, self.next);
        self.next = (self.next * 2).min(self.longest);
        self.last = self.world.now() + pause;
        pause
    }

    /// Sleeps for the next pause. It needs tokio's timers.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.pause()).await;
    }

    /// Begins anew with the shortest pause.
    pub fn reset(&mut self) {
        self.next = self.shortest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_within_bounds_and_a_quiet_while_makes_them_short_again() {
        let world = World::here();
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(&world, ms(20), ms(1000));
        let pauses: Vec<_> = (0..20).map(|_| backoff.pause()).collect();
        assert!(pauses[0] >= ms(10) && pauses[0] <= ms(20), "{pauses:?}");
        assert!(pauses[10..].iter().all(|pause| *pause >= ms(500) && *pause <= ms(1000)), "{pauses:?}");
        let mut stream = Backoff::of_stream(&world);
        for _ in 0..10 {
            stream.wait().await;
        }
        assert!(stream.pause() >= ms(1000));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(stream.pause() <= ms(50));
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_below_the_shortest_pause_is_kept() {
        let mut backoff = Backoff::new(&World::here(), Duration::from_millis(20), Duration::from_millis(4));
        assert!((0..9).all(|_| backoff.pause() <= Duration::from_millis(4)));
    }
}
