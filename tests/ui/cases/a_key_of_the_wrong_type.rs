use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = true)]
async fn run() -> Result<(), Error> {
    Ok(())
}

struct NoText;

#[distributed_lock(key = NoText)]
async fn without_display() -> Result<(), Error> {
    Ok(())
}

fn main() {}
