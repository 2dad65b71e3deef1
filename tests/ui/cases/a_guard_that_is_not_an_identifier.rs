use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", guard = "held")]
async fn quoted() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", guard = _)]
async fn wildcard() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", guard = self)]
async fn receiver() -> Result<(), Error> {
    Ok(())
}

fn main() {}
