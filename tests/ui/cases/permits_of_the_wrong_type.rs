use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", permits = limit)]
async fn call(limit: &str) -> Result<(), Error> {
    Ok(())
}

fn main() {}
