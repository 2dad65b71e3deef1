//! Use this in a program without an asynchronous runtime: on a plain `fn`, the attribute blocks the thread until it has the
//! lock.
//!
//! ```sh
//! cargo run --example blocking
//! ```
//!
//! A blocked thread cannot be stopped from outside. If the lock is lost, the function goes on: call `guard.check()` before
//! anything that must not happen twice, or use the fence as the example `critical_section` does.
#![expect(clippy::print_stdout, reason = "the output is what the example is for")]

use distributed_locks::distributed_lock;
use std::error::Error;
use std::path::Path;
use std::{fs, thread};

/// Returns a new number to every caller, in whatever process it is: no other call comes between reading and writing.
#[distributed_lock(key = "/invoice/number", wait = "10s")]
fn next_number(file: &Path) -> Result<u32, Box<dyn Error + Send + Sync>> {
    let last: u32 = fs::read_to_string(file)?.trim().parse()?;
    fs::write(file, (last + 1).to_string())?;
    Ok(last + 1)
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    distributed_locks::init(std::env::var("LOCKS_URL").unwrap_or_else(|_| "memory:".to_owned()))?;
    let file = std::env::temp_dir().join(format!("locks-blocking-{}", std::process::id()));
    fs::write(&file, "0")?;

    let mut numbers = thread::scope(|scope| {
        let threads: Vec<_> = (0..20).map(|_| scope.spawn(|| next_number(&file))).collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| "a thread panicked")?).collect::<Result<Vec<_>, _>>()
    })?;
    fs::remove_file(&file)?;

    numbers.sort_unstable();
    println!("20 threads got the numbers {numbers:?}");
    if numbers.iter().copied().eq(1..=20) { Ok(()) } else { Err("a number was used twice".into()) }
}
