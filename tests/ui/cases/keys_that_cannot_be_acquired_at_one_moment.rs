use distributed_locks::{Error, distributed_lock};

#[distributed_lock(keys = ["/a", "/b"])]
async fn several() -> Result<(), Error> {
    Ok(())
}

fn main() {}
