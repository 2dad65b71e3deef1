use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", guard = job)]
async fn run(job: &str) -> Result<(), Error> {
    Ok(())
}

fn main() {}
