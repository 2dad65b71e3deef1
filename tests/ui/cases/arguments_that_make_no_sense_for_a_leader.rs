use distributed_locks::{Error, distributed_lock, leader};

#[leader(key = "/a", wait = 0, on_lost = continue, hold_at_least = 5, hold_at_most = 5, mode = shared, permits = 3)]
async fn of_locks() -> Result<(), Error> {
    Ok(())
}

#[leader(keys = ["/a", "/b"], guard = held)]
async fn of_locks_too() -> Result<(), Error> {
    Ok(())
}

#[leader(key = "/a", valeu = 1, lock_timeout = 5, lease_time = 5)]
async fn misspelled() -> Result<(), Error> {
    Ok(())
}

#[leader(key = "/a", value, leadership = "term")]
async fn without_values() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", value = "x")]
async fn of_leaders() -> Result<(), Error> {
    Ok(())
}

fn main() {}
