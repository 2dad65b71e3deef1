#![deny(dead_code)]

use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a")]
async fn run() -> Result<(), Error> {
    Ok(())
}

fn main() {}
