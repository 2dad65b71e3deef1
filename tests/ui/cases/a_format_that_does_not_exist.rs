use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/cron/{id:nonsense}")]
async fn run(id: u32) -> Result<(), Error> {
    Ok(())
}

fn main() {}
