use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/cron/lock/<jbo>")]
async fn misspelt(job: &str) -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/cron/lock/<shard>")]
async fn another(job: &str) -> Result<(), Error> {
    Ok(())
}

fn main() {}
