use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", tll = 10)]
async fn misspelt() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", colour = 3)]
async fn invented() -> Result<(), Error> {
    Ok(())
}

fn main() {}
