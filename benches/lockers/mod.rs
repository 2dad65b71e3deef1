//! What is measured: ours, the floors, and other clients. Each runs in processes of its own.
//!
//! A floor sends the fewest requests of a safe lock, and nothing else: it does not renew and does not retry.

use std::time::{Duration, SystemTime};

mod etcd_floor;
mod etcd_lock;
mod flock;
mod kubernetes_floor;
mod mysql_floor;
mod mysql_get_lock;
mod ours;
mod postgres_advisory;
mod postgres_floor;
mod redis_floor;
mod rslock;
mod zookeeper_floor;

pub(crate) use etcd_floor::EtcdFloor;
pub(crate) use etcd_lock::EtcdLock;
pub(crate) use flock::Flock;
pub(crate) use kubernetes_floor::KubernetesFloor;
pub(crate) use mysql_floor::{MysqlFloor, TABLE as MYSQL_FLOOR_TABLE};
pub(crate) use mysql_get_lock::MysqlGetLock;
pub(crate) use ours::Ours;
pub(crate) use postgres_advisory::PostgresAdvisory;
pub(crate) use postgres_floor::{PostgresFloor, TABLE as POSTGRES_FLOOR_TABLE};
pub(crate) use redis_floor::RedisFloor;
pub(crate) use rslock::Rslock;
pub(crate) use zookeeper_floor::ZookeeperFloor;

/// Microseconds since 1970, on a clock that the processes of one machine share.
pub(crate) type Micros = u64;

pub(crate) fn now() -> Micros {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_micros()).unwrap()
}

/// The times of one hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    pub(crate) requested: Micros,
    pub(crate) granted: Micros,
    pub(crate) releasing: Micros,
    pub(crate) released: Micros,
}

impl Hold {
    /// The time of acquire and release together.
    pub(crate) fn cost(&self) -> Micros {
        (self.granted - self.requested) + (self.released - self.releasing)
    }
}

/// What one hold is of.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    Lock(String),
    Shared(String),
    /// One of so many.
    Permit(String, u32),
    /// Both at one moment.
    Both([String; 2]),
}

/// A way to lock.
pub(crate) trait Locker: Clone + Send + Sync + 'static {
    /// A locker for one task of several.
    fn for_task(&self) -> impl Future<Output = Self> + Send {
        async { self.clone() }
    }

    /// Runs a body of this length under the lock `key`, and returns the times at which it began and ended.
    fn hold(&self, key: &str, length: Duration) -> impl Future<Output = (Micros, Micros)> + Send;

    /// The same for whatever is wanted; a mutex knows only locks.
    fn hold_any(&self, wanted: &Wanted, length: Duration) -> impl Future<Output = (Micros, Micros)> + Send {
        async move {
            match wanted {
                Wanted::Lock(key) => self.hold(key, length).await,
                _ => panic!("a mutex cannot hold {wanted:?}"),
            }
        }
    }
}

/// The body of every hold; returns the times at which it began and ended.
async fn body(length: Duration) -> (Micros, Micros) {
    let granted = now();
    if !length.is_zero() {
        tokio::time::sleep(length).await;
    }
    (granted, now())
}
