use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", ttl = ttl)]
async fn run(ttl: &str) -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", wait = 1.5 * 2.0)]
async fn fraction() -> Result<(), Error> {
    Ok(())
}

fn main() {}
