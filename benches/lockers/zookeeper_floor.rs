//! The fewest requests of a lock on ZooKeeper, by `zookeeper-client`: one that creates an ephemeral sequential node below a
//! node that is there, and one that deletes it. Nobody else has the key of a task's own; with one key for all, the queue is
//! listed too, and the node ahead is watched.

use super::{Locker, Micros, body};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use zookeeper_client::{Acls, Client, CreateMode, Error};

#[derive(Clone)]
pub(crate) struct ZookeeperFloor {
    client: Client,
    /// The locks' nodes that are there.
    made: Arc<Mutex<BTreeSet<String>>>,
}

impl ZookeeperFloor {
    pub(crate) async fn connect(address: &str) -> Self {
        let connector = Client::connector().with_session_timeout(Duration::from_secs(60));
        Self { client: connector.connect(address).await.unwrap(), made: Arc::default() }
    }

    async fn make(&self, key: &str) {
        if !self.made.lock().unwrap().contains(key) {
            self.client.mkdir(key, &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.unwrap();
            self.made.lock().unwrap().insert(key.to_owned());
        }
    }

    async fn wait(&self, key: &str, node: &str) {
        loop {
            let mut queue = self.client.list_children(key).await.unwrap();
            queue.sort_unstable();
            let Some(ahead) = queue.iter().rfind(|other| other.as_str() < node) else { return };
            match self.client.get_and_watch_data(&format!("{key}/{ahead}")).await {
                Ok((_, _, watcher)) => drop(watcher.changed().await),
                Err(Error::NoNode) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

impl Locker for ZookeeperFloor {
    async fn hold(&self, key: &str, length: Duration) -> (Micros, Micros) {
        self.make(key).await;
        let mode = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
        let (_, sequence) = self.client.create(&format!("{key}/lock-"), b"record", &mode).await.unwrap();
        let node = format!("lock-{sequence}");
        if !length.is_zero() {
            self.wait(key, &node).await;
        }
        let moments = body(length).await;
        self.client.delete(&format!("{key}/{node}"), None).await.unwrap();
        moments
    }
}
