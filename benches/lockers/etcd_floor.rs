//! The fewest requests of a safe lock on etcd, by `etcd-client`: one transaction that puts an entry and reads the queue, one
//! that deletes the entry, and for a waiter one watch from revision 0.

use super::{Locker, Micros, body};
use distributed_locks::etcd_client::{
    Client, Compare, CompareOp, EventType, GetOptions, PutOptions, SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse,
    WatchOptions,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[derive(Clone)]
pub(crate) struct EtcdFloor {
    client: Client,
    lease: i64,
    number: Arc<AtomicU64>,
}

pub(super) async fn connect(endpoints: &str) -> Client {
    Client::connect(endpoints.split(',').collect::<Vec<_>>(), None).await.unwrap()
}

impl EtcdFloor {
    pub(crate) async fn connect(endpoints: &str) -> Self {
        let mut client = connect(endpoints).await;
        let lease = client.lease_grant(600, None).await.unwrap().id();
        Self { client, lease, number: Arc::default() }
    }

    /// Puts the entry, and returns its revision and the key of the entry right before it.
    async fn enter(&self, key: &str, entry: &str) -> (i64, Option<Vec<u8>>) {
        let queue = GetOptions::new().with_prefix().with_keys_only().with_limit(64);
        let queue = queue.with_sort(SortTarget::Create, SortOrder::Ascend);
        let acquire = Txn::new().when([Compare::create_revision(entry, CompareOp::Equal, 0)]).and_then([
            TxnOp::put(entry, "record", Some(PutOptions::new().with_lease(self.lease))),
            TxnOp::get(format!("{key}/"), Some(queue)),
        ]);
        let acquired = self.client.clone().txn(acquire).await.unwrap();
        let revision = acquired.header().unwrap().revision();
        let Some(TxnOpResponse::Get(queue)) = acquired.op_responses().pop() else { panic!("no queue") };
        let before = queue.kvs().iter().take_while(|other| other.key() != entry.as_bytes()).last();
        (revision, before.map(|other| other.key().to_vec()))
    }

    async fn wait(&self, before: Vec<u8>) {
        let mut stream =
            self.client.clone().watch(before, Some(WatchOptions::new().with_start_revision(0))).await.unwrap();
        loop {
            let message = stream.message().await.unwrap().unwrap();
            if message.events().iter().any(|event| event.event_type() == EventType::Delete) {
                return;
            }
        }
    }
}

impl Locker for EtcdFloor {
    async fn hold(&self, key: &str, length: Duration) -> (Micros, Micros) {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let entry = format!("{key}/{:x}-{number}", self.lease);
        let (created, before) = self.enter(key, &entry).await;
        if let Some(before) = before {
            self.wait(before).await;
        }
        let moments = body(length).await;
        let own = Compare::create_revision(entry.as_str(), CompareOp::Equal, created);
        let release = Txn::new().when([own]).and_then([TxnOp::delete(entry.as_str(), None)]);
        assert!(self.client.clone().txn(release).await.unwrap().succeeded());
        moments
    }
}
