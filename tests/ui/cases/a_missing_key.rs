use distributed_locks::{Error, distributed_lock};

#[distributed_lock]
async fn bare() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(ttl = 10)]
async fn without_key() -> Result<(), Error> {
    Ok(())
}

fn main() {}
