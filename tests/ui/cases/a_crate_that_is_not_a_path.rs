use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", crate = "distributed_locks")]
async fn quoted() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", crate = 5)]
async fn number() -> Result<(), Error> {
    Ok(())
}

fn main() {}
