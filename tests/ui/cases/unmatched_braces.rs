use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/cron/{job")]
async fn never_closed(job: &str) -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/cron/job}")]
async fn never_opened(job: &str) -> Result<(), Error> {
    Ok(())
}

fn main() {}
