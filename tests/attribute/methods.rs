//! Methods with every receiver, and associated functions.

use crate::{assert_locked, current_key, store};
use distributed_locks::{Error, distributed_lock};
use std::pin::Pin;
use std::sync::Arc;

#[derive(Clone, Debug)]
struct Shard {
    id: u32,
    runs: u32,
}

impl Shard {
    const PREFIX: &'static str = "shards";

    #[distributed_lock(key = "/methods/{self.id}", wait = 0)]
    async fn by_reference(&self) -> Result<&u32, Error> {
        Ok(&self.runs)
    }

    #[distributed_lock(key = "/methods/{self.id}", wait = 0)]
    async fn by_mut(&mut self, by: &u32) -> Result<&mut Self, Error> {
        self.runs += by;
        tokio::task::yield_now().await;
        self.runs += by;
        Ok(self)
    }

    #[distributed_lock(key = "/methods/{self.id}", wait = 0)]
    async fn by_value(mut self) -> Result<Self, Error> {
        self.runs += 1;
        Ok(self)
    }

    #[distributed_lock(key = "/methods/{self.id}", wait = 0)]
    async fn by_arc(self: Arc<Self>) -> Result<Arc<Self>, Error> {
        Ok(self)
    }

    #[distributed_lock(key = "/methods/{self.id}", wait = 0)]
    async fn by_box(self: Box<Self>) -> Result<u32, Error> {
        Ok(self.runs)
    }

    #[distributed_lock(key = "/methods/{self.id}", wait = 0)]
    async fn by_pin(mut self: Pin<&mut Self>) -> Result<u32, Error> {
        self.runs += 1;
        Ok(self.runs)
    }

    /// `Self` is the type in the key and in the body.
    #[distributed_lock(key = "/{Self::PREFIX}/{id}", wait = 0)]
    async fn associated(id: u32) -> Result<Self, Error> {
        Ok(Self { id, runs: current_key().len().try_into().unwrap() })
    }

    #[distributed_lock(key = "/methods/{self.name()}", wait = 0)]
    async fn key_by_method(&self) -> Result<(), Error> {
        Ok(())
    }

    fn name(&self) -> String {
        format!("shard-{}", self.id)
    }
}

#[tokio::test]
async fn every_receiver_is_locked() {
    let locks = store("methods");
    let shard = Shard { id: 7, runs: 0 };
    assert_locked(&locks, "/methods/7", async || shard.by_reference().await.copied()).await;
    assert_locked(&locks, "/methods/7", async || shard.clone().by_mut(&1).await.map(|shard| shard.runs)).await;
    assert_locked(&locks, "/methods/7", async || shard.clone().by_value().await).await;
    assert_locked(&locks, "/methods/7", async || Arc::new(shard.clone()).by_arc().await).await;
    assert_locked(&locks, "/methods/7", async || Box::new(shard.clone()).by_box().await).await;
    assert_locked(&locks, "/methods/7", async || Pin::new(&mut shard.clone()).by_pin().await).await;
    assert_locked(&locks, "/shards/7", async || Shard::associated(7).await).await;
    assert_locked(&locks, "/methods/shard-7", async || shard.key_by_method().await).await;
}

#[tokio::test]
async fn the_body_uses_its_receiver() {
    let locks = store("methods-receiver");
    let mut shard = Shard { id: 1, runs: 0 };
    distributed_locks::scoped(locks.clone(), shard.by_mut(&2)).await.unwrap().runs += 1;
    assert_eq!(shard.runs, 5);
    assert_eq!(distributed_locks::scoped(locks.clone(), shard.clone().by_value()).await.unwrap().runs, 6);
    assert_eq!(distributed_locks::scoped(locks.clone(), Pin::new(&mut shard).by_pin()).await.unwrap(), 6);
    assert_eq!(distributed_locks::scoped(locks, Shard::associated(3)).await.unwrap().runs, 9);
}
