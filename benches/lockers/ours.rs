//! The attribute.

use super::{Locker, Micros, now};
use locks::{Error, Locks, distributed_lock};
use std::time::Duration;

#[derive(Clone)]
pub(crate) struct Ours(Locks);

impl Ours {
    pub(crate) fn connect(endpoints: &str) -> Self {
        Self(Locks::connect(format!("etcd://{endpoints}?ttl=60s")).unwrap())
    }
}

#[distributed_lock(key = key, client = locks)]
async fn locked(locks: &Locks, key: &str, length: Duration) -> Result<(Micros, Micros), Error> {
    let granted = now();
    if !length.is_zero() {
        tokio::time::sleep(length).await;
    }
    Ok((granted, now()))
}

impl Locker for Ours {
    async fn hold(&self, key: &str, length: Duration) -> (Micros, Micros) {
        locked(&self.0, key, length).await.unwrap()
    }
}
