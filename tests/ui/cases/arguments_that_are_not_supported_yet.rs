use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", mode = shared)]
async fn shared() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", permits = 3)]
async fn semaphore() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(keys = ["/a", "/b"])]
async fn several() -> Result<(), Error> {
    Ok(())
}

fn main() {}
