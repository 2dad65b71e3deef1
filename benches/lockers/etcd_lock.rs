//! The lock service of etcd, by `etcd-client`'s `lock`.

use super::{Locker, Micros, body};
use distributed_locks::etcd_client::{Client, LockOptions};
use std::time::Duration;

#[derive(Clone)]
pub(crate) struct EtcdLock {
    client: Client,
    lease: i64,
}

impl EtcdLock {
    pub(crate) async fn connect(endpoints: &str) -> Self {
        Self::with_lease(super::etcd_floor::connect(endpoints).await).await
    }

    async fn with_lease(mut client: Client) -> Self {
        let lease = client.lease_grant(600, None).await.unwrap().id();
        Self { client, lease }
    }
}

impl Locker for EtcdLock {
    /// For etcd, two tasks with one lease would be one holder.
    async fn for_task(&self) -> Self {
        Self::with_lease(self.client.clone()).await
    }

    async fn hold(&self, key: &str, length: Duration) -> (Micros, Micros) {
        let mut client = self.client.clone();
        let acquired = client.lock(key, Some(LockOptions::new().with_lease(self.lease))).await.unwrap();
        let moments = body(length).await;
        client.unlock(acquired.key()).await.unwrap();
        moments
    }
}
