use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", ttl = "soon", wait = true)]
async fn literals() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", ttl = seconds)]
async fn expression(seconds: u64) -> Result<(), Error> {
    Ok(())
}

fn main() {}
