use distributed_locks::{Error, distributed_lock};

#[distributed_lock("/cron/lock")]
async fn run() -> Result<(), Error> {
    Ok(())
}

fn main() {}
