use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", on_lost = cancel)]
fn by_loss() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", hold_at_most = 10)]
fn by_time() -> Result<(), Error> {
    Ok(())
}

fn main() {}
