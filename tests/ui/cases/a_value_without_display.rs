use distributed_locks::{Error, distributed_lock};

struct Order {
    id: u32,
}

#[distributed_lock(key = "/orders/{order}")]
async fn run(order: &Order) -> Result<(), Error> {
    Ok(())
}

fn main() {}
