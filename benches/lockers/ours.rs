//! The attribute.

use super::{Locker, Micros, Wanted, body};
use distributed_locks::{Error, Locks, distributed_lock};
use std::time::Duration;
use support::with_parameters;

#[derive(Clone)]
pub(crate) struct Ours(Locks);

impl Ours {
    pub(crate) fn connect(url: &str) -> Self {
        Self(Locks::connect(with_parameters(url, "ttl=60s")).unwrap())
    }
}

#[distributed_lock(key = key, client = locks)]
async fn locked(locks: &Locks, key: &str, length: Duration) -> Result<(Micros, Micros), Error> {
    Ok(body(length).await)
}

#[distributed_lock(key = key, mode = shared, client = locks)]
async fn shared(locks: &Locks, key: &str, length: Duration) -> Result<(Micros, Micros), Error> {
    Ok(body(length).await)
}

#[distributed_lock(key = key, permits = permits, client = locks)]
async fn permitted(locks: &Locks, key: &str, permits: u32, length: Duration) -> Result<(Micros, Micros), Error> {
    Ok(body(length).await)
}

#[distributed_lock(keys = [one, other], client = locks)]
async fn both(locks: &Locks, one: &str, other: &str, length: Duration) -> Result<(Micros, Micros), Error> {
    Ok(body(length).await)
}

impl Locker for Ours {
    async fn hold(&self, key: &str, length: Duration) -> (Micros, Micros) {
        locked(&self.0, key, length).await.unwrap()
    }

    async fn hold_any(&self, wanted: &Wanted, length: Duration) -> (Micros, Micros) {
        let held = match wanted {
            Wanted::Lock(key) => locked(&self.0, key, length).await,
            Wanted::Shared(key) => shared(&self.0, key, length).await,
            Wanted::Permit(key, permits) => permitted(&self.0, key, *permits, length).await,
            Wanted::Both([one, other]) => both(&self.0, one, other, length).await,
        };
        held.unwrap()
    }
}
