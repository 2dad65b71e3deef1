//! A locked function in the expansion of a `macro_rules`.

use distributed_locks::{Error, distributed_lock};

macro_rules! job {
    ($(#[$attribute:meta])* $name:ident($parameter:ident: $ty:ty) -> $output:ty $body:block) => {
        $(#[$attribute])*
        async fn $name($parameter: $ty) -> $output $body
    };
}

job! {
    #[distributed_lock(key = "/jobs/{id}", ttl = 10, guard = held, or = Err(error))]
    /// Documented.
    first(id: u32) -> Result<u32, Error> { held.check()?; Ok(id) }
}

macro_rules! locked {
    ($key:expr, $ttl:expr, $or:expr) => {
        #[distributed_lock(key = $key, ttl = $ttl, or = $or)]
        async fn second(job: &str) -> Result<usize, Error> {
            Ok(job.len())
        }
    };
}

locked!("/jobs/{job}", 5, Err(error));

fn main() {
    drop(first(1));
    drop(second("x"));
}
