use distributed_locks::{Error, distributed_lock};

#[distributed_lock(name = "a", lockAtMostFor = "14m", lock_at_least_for = "1m", key = "/a")]
async fn shedlock() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", lease_time = 10, timeout = 5, retry = 3, blocking = false, expire = 30)]
async fn others() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(lock_name = "/a", acquire_timeout = 5)]
async fn named() -> Result<(), Error> {
    Ok(())
}

fn main() {}
