use distributed_locks::{Error, distributed_lock};

use std::future::Future;
use std::pin::Pin;

async fn work() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a")]
fn by_impl() -> impl Future<Output = Result<(), Error>> {
    work()
}

#[distributed_lock(key = "/a")]
fn boxed() -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send>> {
    Box::pin(work())
}

fn main() {}
