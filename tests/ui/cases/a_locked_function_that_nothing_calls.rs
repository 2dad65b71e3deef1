#![deny(dead_code)]

use locks::{Error, distributed_lock};

#[distributed_lock(key = "/a")]
async fn run() -> Result<(), Error> {
    Ok(())
}

fn main() {}
