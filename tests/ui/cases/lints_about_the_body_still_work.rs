#![deny(warnings)]

use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a/{used}")]
pub async fn run(used: u32, unused: u32) -> Result<(), Error> {
    let never_read = 1;
    let mut never_changed = 2;
    println!("{never_changed}");
    return Ok(());
    println!("never reached");
}

#[must_use]
#[distributed_lock(key = "/a")]
pub async fn important() -> Option<u8> {
    None
}

pub async fn caller() {
    important().await;
}

#[distributed_lock(key = "/a", guard = held)]
pub async fn unused_guard() -> Result<(), Error> {
    Ok(())
}

fn main() {}
