use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/cron/{}")]
async fn empty(job: &str) -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/cron/{:04}")]
async fn only_a_format(job: u32) -> Result<(), Error> {
    Ok(())
}

fn main() {}
