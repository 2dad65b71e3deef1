use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", ttl = 10s)]
async fn run() -> Result<(), Error> {
    Ok(())
}

fn main() {}
