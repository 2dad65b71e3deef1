//! How often to ask the server, so that neither those who hold a lock for a moment nor those who send messages at will make
//! a client ask without end.

use crate::world::World;
use crate::world::clock::Moment;
use std::time::Duration;

/// How often the first waiter asks for a lock whose holder's notification may not come through.
const UNNOTIFIED: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(300));
/// How soon the first waiter asks again whether a holder is gone that does not notify, at first and after long.
const FOREIGN: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(200));
/// The longest pause between questions for which notifications were the reason and that showed nothing new.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

pub(super) fn unnotified(world: &World) -> Duration {
    world.between(UNNOTIFIED.0, UNNOTIFIED.1)
}

/// A holder that has been there for `age` is probably there for as long again; so the pause is a part of it. A session
/// that waits for many such holders asks about each less often.
pub(super) fn foreign(world: &World, age: Duration, others: usize) -> Duration {
    let by_count = FOREIGN.0.saturating_mul(u32::try_from(others).unwrap_or(u32::MAX));
    let pause = (age / 8).max(by_count).clamp(FOREIGN.0, FOREIGN.1);
    world.between(pause * 3 / 4, pause * 5 / 4)
}

/// When to ask because of notifications: at once, unless they were wrong of late.
#[derive(Debug, Default)]
pub(super) struct HintPace {
    pause: Duration,
    next: Option<Moment>,
}

impl HintPace {
    /// When to ask because of a notification that is due at `at`.
    pub(super) fn not_before(&self, at: Moment) -> Moment {
        self.next.map_or(at, |next| next.max(at))
    }

    /// The server was asked, and what the notifications said was right, or nothing had changed.
    pub(super) fn looked(&mut self, now: Moment, was_right: bool) {
        let longer = (self.pause * 2).clamp(Duration::from_millis(1), LONGEST_PAUSE);
        self.pause = if was_right { Duration::ZERO } else { longer };
        self.next = Some(now + self.pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_notifications_that_show_nothing_new_is_ten_questions_a_second() {
        let (mut pace, mut now, mut asked) = (HintPace::default(), Moment::from_nanos(0), 0);
        while now < Moment::from_nanos(60_000_000_000) {
            now = pace.not_before(now) + Duration::from_micros(100);
            pace.looked(now, false);
            asked += 1;
        }
        assert!((500..620).contains(&asked), "{asked} in a minute");
        pace.looked(now, true);
        assert_eq!(pace.not_before(now), now);
    }

    #[tokio::test(start_paused = true)]
    async fn many_foreign_holders_are_asked_about_less_often() {
        let world = World::here();
        assert!(foreign(&world, Duration::ZERO, 1) <= Duration::from_millis(5));
        assert!(foreign(&world, Duration::ZERO, 1000) >= Duration::from_millis(150));
        assert!(foreign(&world, Duration::from_secs(3600), usize::MAX) <= Duration::from_millis(250));
    }
}
