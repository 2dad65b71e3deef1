//! Use this when something must not happen twice, even if a process is paused, or blocked in code that does not await, for
//! longer than its lock lasts. No lock can stop such a process, but the resource can refuse its writes, by the *fence*.
//!
//! ```sh
//! cargo run --example critical_section
//! ```
//!
//! Alice and Bob both want to carry out order 7. Alice gets the lock first, and blocks until she has lost it and Bob has it.
#![expect(clippy::print_stdout, reason = "the output is what the example is for")]

use distributed_locks::{Fence, distributed_lock};
use std::error::Error;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

/// Moves the money of an order, once. Both statements have the fence.
#[distributed_lock(key = "/order/{id}", ttl = 5, hold_at_most = "1s", guard = lock)]
async fn transfer(who: &str, id: u32, bank: &Bank, pause: impl FnOnce()) -> Result<&'static str, TransferError> {
    println!("{who} has the lock on order {id}, fence {}", lock.fence());
    // Claims the row while reading it: from now on, writes with a smaller fence are refused.
    let balances = bank.claim(lock.fence())?;
    if balances.done {
        return Ok("already done");
    }
    pause();
    bank.book(lock.fence(), 100)?;
    Ok("done")
}

/// In place of a database: each method is one statement, and so atomic.
#[derive(Default)]
struct Bank(Mutex<Balances>);

#[derive(Clone, Copy, Debug, Default)]
struct Balances {
    fence: u64,
    done: bool,
    from: i64,
    to: i64,
}

impl Bank {
    /// `UPDATE orders SET fence = $1 WHERE id = 7 AND fence <= $1 RETURNING …`
    fn claim(&self, fence: Fence) -> Result<Balances, TransferError> {
        let mut row = self.row(fence)?;
        row.fence = fence.to_u64();
        Ok(*row)
    }

    /// `UPDATE orders SET fence = $1, done = true, … WHERE id = 7 AND fence <= $1`
    fn book(&self, fence: Fence, amount: i64) -> Result<(), TransferError> {
        let mut row = self.row(fence)?;
        *row = Balances { fence: fence.to_u64(), done: true, from: row.from - amount, to: row.to + amount };
        Ok(())
    }

    /// The row, unless a holder with a greater fence has claimed it: `AND fence <= $1`.
    fn row(&self, fence: Fence) -> Result<MutexGuard<'_, Balances>, TransferError> {
        let row = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if fence.to_u64() < row.fence { Err(TransferError::Stale(fence)) } else { Ok(row) }
    }
}

#[derive(Debug)]
enum TransferError {
    /// A later holder of the lock has claimed the row.
    Stale(Fence),
    /// The lock was not acquired, or was lost.
    Lock(distributed_locks::Error),
}

impl From<distributed_locks::Error> for TransferError {
    fn from(error: distributed_locks::Error) -> Self {
        Self::Lock(error)
    }
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale(fence) => write!(f, "refused, fence {fence} is stale"),
            Self::Lock(error) => error.fmt(f),
        }
    }
}

impl Error for TransferError {}

fn main() -> Result<(), Box<dyn Error>> {
    distributed_locks::init(std::env::var("LOCKS_URL").unwrap_or_else(|_| "memory:".to_owned()))?;
    let bank = Bank::default();
    let (blocked, alice_is_blocked) = mpsc::channel();
    let (done, bob_is_done) = mpsc::channel();
    let block = move || {
        // As in a suspended laptop, or a call that blocks: `hold_at_most` passes, nothing can stop this thread, and soon
        // after that Bob gets the lock.
        let _ = blocked.send(());
        let _ = bob_is_done.recv_timeout(Duration::from_secs(60));
    };
    let (alice, bob) = thread::scope(|scope| {
        let alice = scope.spawn(|| distributed_locks::blocking(transfer("Alice", 7, &bank, block)));
        let _ = alice_is_blocked.recv();
        let bob = scope.spawn(|| distributed_locks::blocking(transfer("Bob", 7, &bank, || {}))).join();
        let _ = done.send(());
        (alice.join(), bob)
    });
    for (who, outcome) in [("Bob", bob), ("Alice", alice)] {
        match outcome.map_err(|_| "a thread panicked")? {
            Ok(outcome) => println!("{who}: {outcome}"),
            Err(error) => println!("{who}: {error}"),
        }
    }
    let balances = *bank.0.lock().unwrap_or_else(PoisonError::into_inner);
    println!("balances: {} and {}", balances.from, balances.to);
    if (balances.from, balances.to) == (-100, 100) { Ok(()) } else { Err("the money did not move exactly once".into()) }
}
