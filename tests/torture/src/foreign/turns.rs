//! A client of another project acquires a lock, holds it for a body, and releases it, again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use support::peers::Slot;

use super::{Client, Step};
use crate::clock::{Nanos, nanos, now};
use crate::history::{EventKind, Recorder};
use crate::random::Random;
use crate::workers::LONG;

/// Between two looks at whether the run is over.
const LOOK: Duration = Duration::from_millis(100);

/// Its process was killed, or the run is over.
struct Gone;

/// How an attempt to acquire a lock ended.
enum Attempt {
    Held { until: Option<Nanos> },
    Failed(String),
}

/// One process, as long as it lives.
struct Life<'a> {
    client: &'a Client,
    slot: Slot,
    recorder: Arc<Recorder>,
}

impl Client {
    /// Takes turns of one lock until the run is over.
    pub(super) fn take_turns(&self, key: &str, seed: u64, number: usize) {
        let mut random = Random::new(seed, &format!("{} {number} of {key}", self.usage.peer.name()));
        while !self.is_over() {
            let running = self.running().clone();
            let life = Life { client: self, slot: running.driver.slot(), recorder: running.recorder };
            while life.turn(key, length_of_body(&mut random, key)).is_ok() {
                sleep(random.millis(1, 60));
            }
            while !self.is_over() && self.running().generation == running.generation {
                sleep(LOOK);
            }
        }
    }
}

/// Shorter than the TTL, for those that do not renew.
fn length_of_body(random: &mut Random, key: &str) -> Duration {
    if key.ends_with(LONG) && random.percent(50) { random.millis(100, 1_500) } else { random.millis(0, 40) }
}

impl Life<'_> {
    fn turn(&self, key: &str, length: Duration) -> Result<(), Gone> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let record = |step| self.recorder.record(EventKind::Foreign { turn, step });
        record(Step::Requested { key: key.to_owned(), unchecked: self.client.usage.unchecked });
        let error = match self.acquire(key)? {
            Attempt::Held { until } => {
                record(Step::Held { until });
                self.body(length)?;
                record(Step::Left);
                self.release()?
            }
            Attempt::Failed(error) => Some(error),
        };
        let failed = error.is_some();
        record(Step::Over { error });
        if failed {
            // What failed may fail again at once.
            sleep(LOOK);
        }
        Ok(())
    }

    fn acquire(&self, key: &str) -> Result<Attempt, Gone> {
        let request = self.client.usage.request(key);
        loop {
            let sent = now();
            self.slot.say(&request);
            let answer = loop {
                let answer = self.answer()?;
                if answer != "waiting" && answer != "lost" {
                    break answer;
                }
            };
            if answer.starts_with("holding") {
                let until = self.client.usage.tries.then(|| sent + nanos(self.client.usage.ttl));
                return Ok(Attempt::Held { until });
            }
            // To Redisson a lock of ours is of a wrong type.
            if answer != "busy" && !answer.contains("WRONGTYPE") {
                return Ok(Attempt::Failed(answer));
            }
            sleep(Duration::from_millis(10));
        }
    }

    /// The body: it runs for this long, unless the client says before that it may have lost the lock.
    fn body(&self, length: Duration) -> Result<(), Gone> {
        let end = Instant::now() + length;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.slot.answer(left.min(LOOK)) {
                Ok(Some(answer)) if answer == "lost" => return Ok(()),
                Ok(_) if self.client.is_over() => return Err(Gone),
                Ok(_) if left.is_zero() => return Ok(()),
                Ok(_) => {}
                Err(_) => return Err(Gone),
            }
        }
    }

    fn release(&self) -> Result<Option<String>, Gone> {
        self.slot.say("unlock");
        loop {
            let answer = self.answer()?;
            if answer == "released" {
                return Ok(None);
            }
            if answer.starts_with("error") {
                return Ok(Some(answer));
            }
        }
    }

    fn answer(&self) -> Result<String, Gone> {
        loop {
            match self.slot.answer(LOOK) {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) if self.client.is_over() => return Err(Gone),
                Ok(None) => {}
                Err(_) => return Err(Gone),
            }
        }
    }
}
