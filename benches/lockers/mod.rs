//! Who is measured: ours, the floors, and other clients. Each runs in processes of its own.
//!
//! A floor is what a safe lock has to send at least, and does nothing else: it renews nothing and retries nothing.

use std::time::{Duration, SystemTime};

mod etcd_floor;
mod etcd_lock;
mod flock;
mod ours;
mod redis_floor;
mod rslock;

pub(crate) use etcd_floor::EtcdFloor;
pub(crate) use etcd_lock::EtcdLock;
pub(crate) use flock::Flock;
pub(crate) use ours::Ours;
pub(crate) use redis_floor::RedisFloor;
pub(crate) use rslock::Rslock;

/// Microseconds since 1970: processes of one machine share that clock.
pub(crate) type Micros = u64;

pub(crate) fn now() -> Micros {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_micros()).unwrap()
}

/// The moments of one hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    pub(crate) asked: Micros,
    pub(crate) granted: Micros,
    pub(crate) releasing: Micros,
    pub(crate) released: Micros,
}

impl Hold {
    /// What it cost beside the body.
    pub(crate) fn cost(&self) -> Micros {
        (self.granted - self.asked) + (self.released - self.releasing)
    }
}

/// A way to lock.
pub(crate) trait Locker: Clone + Send + Sync + 'static {
    /// The same for one task among several.
    fn for_task(&self) -> impl Future<Output = Self> + Send {
        async { self.clone() }
    }

    /// Runs a body of this length under the lock `key`, and gives the moments when it began and ended.
    fn hold(&self, key: &str, length: Duration) -> impl Future<Output = (Micros, Micros)> + Send;
}

/// The body of every hold, and the moments when it began and ended.
async fn body(length: Duration) -> (Micros, Micros) {
    let granted = now();
    if !length.is_zero() {
        tokio::time::sleep(length).await;
    }
    (granted, now())
}
