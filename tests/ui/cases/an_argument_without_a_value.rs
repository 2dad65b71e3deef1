use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", wait)]
async fn name_only() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = , ttl = 10)]
async fn nothing_after_the_sign() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key("/a"))]
async fn like_a_call() -> Result<(), Error> {
    Ok(())
}

fn main() {}
