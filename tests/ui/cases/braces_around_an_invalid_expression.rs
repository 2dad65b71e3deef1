use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/cron/{job name}")]
async fn run(job: &str) -> Result<(), Error> {
    Ok(())
}

fn main() {}
