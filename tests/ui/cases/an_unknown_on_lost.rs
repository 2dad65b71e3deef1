use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", on_lost = abort)]
async fn word() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", on_lost = "cancel")]
async fn quoted() -> Result<(), Error> {
    Ok(())
}

fn main() {}
