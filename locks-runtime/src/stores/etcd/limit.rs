//! A limit on the requests that are under way at once.
//!
//! If ten thousand requests are sent together, most are answered after their timeout. They would be abandoned, sent again
//! and abandoned again, and etcd would work for nothing. So only a few hundred are sent at a time, and the timeout of each
//! starts when it is sent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// How many requests at once. etcd collects what arrives during one write to its log into the next write, and gains
/// nothing from more.
const AT_ONCE: usize = 256;

/// Permits for requests, and a count of the answers.
#[derive(Debug)]
pub(super) struct ConcurrencyLimit {
    permits: Semaphore,
    answers: AtomicU64,
}

impl Default for ConcurrencyLimit {
    fn default() -> Self {
        Self { permits: Semaphore::new(AT_ONCE), answers: AtomicU64::new(0) }
    }
}

impl ConcurrencyLimit {
    /// A permit for one request, first come, first served; `None` if no request at all was answered for `timeout`.
    pub(super) async fn permit(&self, timeout: Duration) -> Option<SemaphorePermit<'_>> {
        let mut permit = std::pin::pin!(self.permits.acquire());
        loop {
            let answers = self.answers.load(Ordering::Relaxed);
            match tokio::time::timeout(timeout, permit.as_mut()).await {
                Ok(permit) => return permit.ok(),
                Err(_) if self.answers.load(Ordering::Relaxed) == answers => return None,
                Err(_) => {}
            }
        }
    }

    /// A request was answered.
    pub(super) fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_its_permit_as_long_as_others_are_answered() {
        let limit = ConcurrencyLimit::default();
        let second = Duration::from_secs(1);
        let mut permits = Vec::new();
        for _ in 0..AT_ONCE {
            permits.push(limit.permit(second).await.unwrap());
        }
        assert!(limit.permit(second).await.is_none(), "no request was answered");
        let answers = async {
            for _ in 0..10 {
                tokio::time::sleep(second / 2).await;
                limit.answered();
            }
            permits.pop();
        };
        let (permit, ()) = tokio::join!(limit.permit(second), answers);
        assert!(permit.is_some());
    }
}
