use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", ttl = 1.5)]
async fn run() -> Result<(), Error> {
    Ok(())
}

fn main() {}
