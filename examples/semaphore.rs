//! Use this where a service outside allows so many calls at a time: all processes together make no more.
//!
//! ```sh
//! cargo run --example semaphore
//! ```
//!
//! A process that dies gives its permits back when its TTL is over: there is no counter that could be wrong for ever.
#![expect(clippy::print_stdout, reason = "the output is what the example is for")]
#![expect(clippy::disallowed_methods, reason = "an application has tasks")]

use distributed_locks::distributed_lock;
use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

type Failure = Box<dyn Error + Send + Sync>;

/// The service outside, which refuses a fourth call at the same time.
static CALLS: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

/// At most three of these at once, in all processes together. Whoever comes first is served first.
#[distributed_lock(key = "/limits/geocoder", permits = 3, wait = "30s")]
async fn geocode(address: u32) -> Result<u32, Failure> {
    let calls = CALLS.fetch_add(1, Ordering::SeqCst) + 1;
    MOST.fetch_max(calls, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(5)).await;
    CALLS.fetch_sub(1, Ordering::SeqCst);
    if calls <= 3 { Ok(address) } else { Err("429 Too Many Requests".into()) }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    distributed_locks::init(std::env::var("LOCKS_URL").unwrap_or_else(|_| "memory:".to_owned()))?;
    for call in (0..30).map(|address| tokio::spawn(geocode(address))).collect::<Vec<_>>() {
        call.await??;
    }
    println!("30 calls, at most {} at once", MOST.load(Ordering::SeqCst));
    if MOST.load(Ordering::SeqCst) == 3 { Ok(()) } else { Err("permits were left over".into()) }
}
