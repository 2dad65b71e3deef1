//! Use this where many read what a few write: readers run beside each other, and a writer alone.
//!
//! ```sh
//! cargo run --example readers
//! ```
#![expect(clippy::print_stdout, reason = "the output is what the example is for")]
#![expect(clippy::disallowed_methods, reason = "an application has tasks")]

use distributed_locks::distributed_lock;
use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

type Failure = Box<dyn Error + Send + Sync>;

/// Who is inside at this moment, and the most readers that ever were.
static READERS: AtomicUsize = AtomicUsize::new(0);
static WRITERS: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

/// Any number of these at once, in whatever process, but never beside a writer.
#[distributed_lock(key = "/index/{name}", mode = shared)]
async fn search(name: &str) -> Result<(), Failure> {
    let readers = READERS.fetch_add(1, Ordering::SeqCst) + 1;
    MOST.fetch_max(readers, Ordering::SeqCst);
    let is_alone = WRITERS.load(Ordering::SeqCst) == 0;
    tokio::time::sleep(Duration::from_millis(5)).await;
    READERS.fetch_sub(1, Ordering::SeqCst);
    if is_alone { Ok(()) } else { Err("a reader beside a writer".into()) }
}

/// Alone. Readers that come while it waits queue behind it, so that it gets its turn.
#[distributed_lock(key = "/index/{name}")]
async fn rebuild(name: &str) -> Result<(), Failure> {
    let others = WRITERS.fetch_add(1, Ordering::SeqCst) + READERS.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(5)).await;
    WRITERS.fetch_sub(1, Ordering::SeqCst);
    if others == 0 { Ok(()) } else { Err("a writer beside others".into()) }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    distributed_locks::init(std::env::var("LOCKS_URL").unwrap_or_else(|_| "memory:".to_owned()))?;
    let calls = (0..60).map(|number| {
        tokio::spawn(async move { if number % 20 == 10 { rebuild("en").await } else { search("en").await } })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await??;
    }
    println!("57 searches and 3 rebuilds; up to {} searches at once", MOST.load(Ordering::SeqCst));
    Ok(())
}
