//! How long to wait before asking again when nobody answers.

use crate::world::clock::{Clock, Moment};
use crate::world::random;
use std::time::Duration;

const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// Pauses that double up to a limit, each with jitter; after a good while without one they are short again.
#[derive(Debug)]
pub(crate) struct Pause {
    next: Duration,
    last: Moment,
}

impl Default for Pause {
    fn default() -> Self {
        Self { next: SHORTEST, last: Clock::Boot.now() }
    }
}

impl Pause {
    pub(crate) async fn wait(&mut self) {
        if Clock::Boot.now().since(self.last) > LONGEST {
            self.next = SHORTEST;
        }
        tokio::time::sleep(random::between(self.next / 2, self.next)).await;
        self.next = (self.next * 2).min(LONGEST);
        self.last = Clock::Boot.now();
    }
}
