//! How many requests are under way at once.
//!
//! Of ten thousand sent together most are answered too late for their time limit. They would be given up, sent again, and
//! given up again, while etcd works for nobody: it is a few hundred at a time instead, and time counts from there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// How many at once. etcd gathers what comes within a write to its log into the next one, and gains nothing from more.
const AT_ONCE: usize = 256;

/// Those who ask, and those who wait until they may.
#[derive(Debug)]
pub(super) struct Crowd {
    places: Semaphore,
    answers: AtomicU64,
}

impl Default for Crowd {
    fn default() -> Self {
        Self { places: Semaphore::new(AT_ONCE), answers: AtomicU64::new(0) }
    }
}

impl Crowd {
    /// The right to ask, first come, first served; `None` if nobody was answered for as long as `patience`.
    pub(super) async fn turn(&self, patience: Duration) -> Option<SemaphorePermit<'_>> {
        let mut turn = std::pin::pin!(self.places.acquire());
        loop {
            let answers = self.answers.load(Ordering::Relaxed);
            match tokio::time::timeout(patience, turn.as_mut()).await {
                Ok(permit) => return permit.ok(),
                Err(_) if self.answers.load(Ordering::Relaxed) == answers => return None,
                Err(_) => {}
            }
        }
    }

    /// Somebody was answered.
    pub(super) fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_patient_while_others_are_answered() {
        let crowd = Crowd::default();
        let second = Duration::from_secs(1);
        let mut asking = Vec::new();
        for _ in 0..AT_ONCE {
            asking.push(crowd.turn(second).await.unwrap());
        }
        assert!(crowd.turn(second).await.is_none(), "nobody was answered");
        let answers = async {
            for _ in 0..10 {
                tokio::time::sleep(second / 2).await;
                crowd.answered();
            }
            asking.pop();
        };
        let (turn, ()) = tokio::join!(crowd.turn(second), answers);
        assert!(turn.is_some());
    }
}
