//! `crate = path`, for a facade under another name.

use crate::{assert_locked, store};

mod prelude {
    pub(crate) mod inner {
        pub(crate) use ::distributed_locks as mutexes;
    }
}

/// Hides the crate, so that only the path given leads to it.
mod distributed_locks {}

#[::distributed_locks::distributed_lock(key = "/renamed/{job}", wait = 0, guard = held, ttl = "1s 500ms", on_lost = continue, crate = prelude::inner::mutexes)]
async fn renamed(job: &str) -> Result<bool, ::distributed_locks::Error> {
    Ok(held.is_held())
}

#[tokio::test]
async fn the_facade_is_found_where_it_is() {
    assert_locked(&store("renamed"), "/renamed/x", async || renamed("x").await).await;
}
