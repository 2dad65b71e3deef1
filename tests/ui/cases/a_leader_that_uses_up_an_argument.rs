use distributed_locks::{Error, leader};

async fn index(_names: Vec<String>) {}

#[leader(key = "/a")]
async fn uses_up(names: Vec<String>) -> Result<(), Error> {
    index(names).await;
    Ok(())
}

fn main() {}
