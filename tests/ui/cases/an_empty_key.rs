use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "")]
async fn run() -> Result<(), Error> {
    Ok(())
}

fn main() {}
