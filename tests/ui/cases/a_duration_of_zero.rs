use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", ttl = 0, wait = 0, hold_at_least = "0s", hold_at_most = 0)]
async fn run() -> Result<(), Error> {
    Ok(())
}

fn main() {}
