use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", mode = shared, permits = 3)]
async fn readers() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", permits = 3, mode = exclusive)]
async fn writer() -> Result<(), Error> {
    Ok(())
}

fn main() {}
