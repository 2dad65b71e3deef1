//! `crate = path`, for a facade under another name.

use crate::{assert_locked, store};

mod prelude {
    pub(crate) mod inner {
        pub(crate) use ::distributed_locks as mutexes;
    }
}

/// Hides the crate, so that it is found only by the given path.
mod distributed_locks {}

#[::distributed_locks::distributed_lock(key = "/renamed/{job}", wait = 0, guard = held, ttl = "1m 30s", on_lost = continue, crate = prelude::inner::mutexes)]
async fn renamed(job: &str) -> Result<bool, ::distributed_locks::Error> {
    Ok(held.is_held())
}

#[tokio::test]
async fn the_facade_is_found_by_its_path() {
    assert_locked(&store("renamed"), "/renamed/x", async || renamed("x").await).await;
}
