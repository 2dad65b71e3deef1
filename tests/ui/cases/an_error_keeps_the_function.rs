use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", ttl = 0)]
async fn run(job: &str) -> Result<(), Error> {
    Ok(())
}

/// The caller compiles.
async fn caller() -> Result<(), Error> {
    run("nightly").await
}

fn main() {}
