use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", hold_at_least = 60, hold_at_most = "30s")]
async fn run() -> Result<(), Error> {
    Ok(())
}

fn main() {}
