use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", ttl = 100000000, wait = "2years")]
async fn run() -> Result<(), Error> {
    Ok(())
}

fn main() {}
