//! Functions that return the future of an `async` block.

#![expect(clippy::manual_async_fn, reason = "it is what is tested")]

use crate::{assert_locked, store};
use distributed_locks::{Error, distributed_lock};
use std::future::Future;
use std::pin::Pin;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

struct Shard {
    id: u32,
    rows: Vec<u32>,
}

impl Shard {
    #[distributed_lock(key = "/impl_future/{self.id}", wait = 0)]
    fn by_impl(&self) -> impl Future<Output = Result<usize, Error>> + Send + '_ {
        async move {
            tokio::task::yield_now().await;
            Ok(self.rows.len())
        }
    }

    /// A block without `move` goes on borrowing.
    #[distributed_lock(key = "/impl_future/{self.id}", wait = 0)]
    fn borrowing(&mut self) -> impl Future<Output = Result<usize, Error>> + Send {
        async {
            self.rows.push(1);
            tokio::task::yield_now().await;
            Ok(self.rows.len())
        }
    }

    #[distributed_lock(key = "/impl_future/{id}", wait = 0)]
    fn boxed(id: u32) -> Pin<Box<dyn Future<Output = Result<u32, Error>> + Send>> {
        let twice = id * 2;
        Box::pin(async move {
            if twice == 0 {
                return Ok(1);
            }
            Ok(twice)
        })
    }

    /// A type that is a future only by its alias.
    #[distributed_lock(key = "/impl_future/{self.id}", wait = 0)]
    fn by_alias(&mut self) -> BoxFuture<'_, Result<usize, Error>> {
        Box::pin(async move {
            self.rows.push(1);
            Ok(self.rows.len())
        })
    }

    /// Variables from before the `async` block can be in the key.
    #[distributed_lock(key = "/impl_future/{name}", wait = 0)]
    fn prepared(id: u32) -> Pin<Box<dyn Future<Output = Result<String, Error>> + Send>> {
        let name = format!("shard-{id}");
        Box::pin(async move { Ok(name) })
    }
}

#[distributed_lock(key = "/impl_future/{text}", wait = 0)]
fn free(text: String) -> impl Future<Output = Result<String, Error>> {
    async move { Ok(text) }
}

#[tokio::test]
async fn the_future_is_locked() {
    let locks = store("impl_future");
    let shard = Shard { id: 4, rows: vec![] };
    assert_locked(&locks, "/impl_future/4", async || shard.by_impl().await).await;
    assert_locked(&locks, "/impl_future/4", async || Shard { id: 4, rows: vec![] }.borrowing().await).await;
    assert_locked(&locks, "/impl_future/4", async || Shard { id: 4, rows: vec![] }.by_alias().await).await;
    assert_locked(&locks, "/impl_future/6", async || Shard::boxed(6).await).await;
    assert_locked(&locks, "/impl_future/shard-6", async || Shard::prepared(6).await).await;
    assert_locked(&locks, "/impl_future/x", async || free("x".to_owned()).await).await;
}

#[tokio::test]
async fn nothing_is_locked_before_the_first_poll() {
    let locks = store("impl_future-lazy");
    let future = Shard::boxed(6);
    assert!(locks.inspect("/impl_future/6").await.unwrap().is_none());
    assert_eq!(distributed_locks::scoped(locks, future).await.unwrap(), 12);
}
