use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", ttl = 30000, wait = "5000", hold_at_most = "10M")]
async fn run() -> Result<(), Error> {
    Ok(())
}

fn main() {}
