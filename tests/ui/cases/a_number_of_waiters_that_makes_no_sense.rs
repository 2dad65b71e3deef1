use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", max_waiting = 0)]
async fn nobody() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", max_waiting = 5, wait = 0)]
async fn waits_for_nobody() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", max_waiting = "5")]
async fn text() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", max_waiting = -5)]
async fn negative() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", max_waiters = 5)]
async fn misspelt() -> Result<(), Error> {
    Ok(())
}

fn main() {}
