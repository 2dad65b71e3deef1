use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/cron/{jbo}")]
async fn misspelt(job: &str) -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/cron/{shard}")]
async fn another(job: &str, id: u32) -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = "/cron/{shard}")]
async fn without_parameters() -> Result<(), Error> {
    Ok(())
}

struct Order {
    id: u32,
}

#[distributed_lock(key = "/orders/{odrer.id}")]
async fn in_an_expression(order: &Order) -> Result<(), Error> {
    Ok(())
}

fn main() {}
