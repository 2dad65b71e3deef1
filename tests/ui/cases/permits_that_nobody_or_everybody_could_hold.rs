use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", permits = 0)]
async fn none() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", permits = -1)]
async fn fewer() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", permits = 4_294_967_296)]
async fn more() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", permits = "3")]
async fn quoted() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/a", permits = 1.5)]
async fn one_and_a_half() -> Result<(), Error> {
    Ok(())
}

fn main() {}
