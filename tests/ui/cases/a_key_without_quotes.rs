use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = /cron/lock, wait = 0)]
async fn run() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(kye = "/a")]
async fn misspelled() -> Result<(), Error> {
    Ok(())
}

fn main() {}
