//! `rslock`: SET NX PX, with a retry after 0 to 200 ms if the lock is held.

use super::{Locker, Micros, body};
use rslock::LockManager;
use std::time::Duration;

#[derive(Clone)]
pub(crate) struct Rslock(LockManager);

impl Rslock {
    pub(crate) fn connect(url: &str) -> Self {
        Self(LockManager::new(vec![url]))
    }
}

impl Locker for Rslock {
    async fn hold(&self, key: &str, length: Duration) -> (Micros, Micros) {
        let guard = self.0.acquire(key, Duration::from_secs(60)).await.unwrap();
        let moments = body(length).await;
        guard.release().await;
        moments
    }
}
