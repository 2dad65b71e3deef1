//! How large the future of a locked function is. Nothing of the engine is in it, and nothing of the body's own future.

use crate::store;
use distributed_locks::{Error, distributed_lock, scoped};
use std::mem::size_of_val;

const LARGE: usize = 4096;

async fn bare(argument: [u8; LARGE]) -> Result<u8, Error> {
    tokio::task::yield_now().await;
    Ok(argument[0])
}

#[distributed_lock(key = "/size/{job}", ttl = "10s", wait = 0, hold_at_least = "1ms", hold_at_most = "1m", guard = held)]
async fn small(job: &str) -> Result<usize, Error> {
    tokio::task::yield_now().await;
    held.check()?;
    Ok(job.len())
}

#[distributed_lock(key = "/size/large")]
async fn large(argument: [u8; LARGE]) -> Result<u8, Error> {
    tokio::task::yield_now().await;
    Ok(argument[0])
}

#[tokio::test]
async fn a_locked_function_is_a_small_future() {
    let future = small("x");
    assert!(size_of_val(&future) <= 512, "{} bytes", size_of_val(&future));
    scoped(store("size-small"), future).await.unwrap();
}

#[tokio::test]
async fn arguments_are_not_stored_again_and_again() {
    let (bare, locked) = (bare([1; LARGE]), large([2; LARGE]));
    let (without, with) = (size_of_val(&bare), size_of_val(&locked));
    assert!(with <= without + 512, "{with} bytes, and {without} without the lock");
    let locked = Box::pin(scoped(store("size-large"), locked));
    assert_eq!(bare.await.unwrap() + locked.await.unwrap(), 3);
}
