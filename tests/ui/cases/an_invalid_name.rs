use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", name = job)]
async fn expression(job: &str) -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", name = "")]
async fn empty() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", name = "a\tb")]
async fn control() -> Result<(), Error> {
    Ok(())
}

fn main() {}
