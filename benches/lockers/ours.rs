//! The attribute.

use super::{Locker, Micros, body};
use distributed_locks::{Error, Locks, distributed_lock};
use std::time::Duration;

#[derive(Clone)]
pub(crate) struct Ours(Locks);

impl Ours {
    pub(crate) fn connect(url: &str) -> Self {
        Self(Locks::connect(format!("{url}?ttl=60s")).unwrap())
    }
}

#[distributed_lock(key = key, client = locks)]
async fn locked(locks: &Locks, key: &str, length: Duration) -> Result<(Micros, Micros), Error> {
    Ok(body(length).await)
}

impl Locker for Ours {
    async fn hold(&self, key: &str, length: Duration) -> (Micros, Micros) {
        locked(&self.0, key, length).await.unwrap()
    }
}
