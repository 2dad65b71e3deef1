use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", mode = read)]
async fn reader() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", mode = semaphore)]
async fn semaphore() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", mode = sharde)]
async fn misspelt() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", mode = "shared")]
async fn quoted() -> Result<(), Error> {
    Ok(())
}

fn main() {}
