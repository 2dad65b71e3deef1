//! Use this when something must not happen twice even if a process is paused, or stuck in code that does not await, for
//! longer than its lock lasts. No lock can stop such a process; the resource can refuse it, by the *fence*.
//!
//! ```sh
//! cargo run --example critical_section
//! ```
//!
//! Alice and Bob both want to carry out order 7. Alice is first, and gets stuck under the lock until it is Bob's.
#![expect(clippy::print_stdout, reason = "the output is what the example is for")]

use distributed_locks::{Fence, distributed_lock};
use std::error::Error;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

/// Moves the money of an order, once. Both steps carry the fence.
#[distributed_lock(key = "/order/{id}", ttl = 1, hold_at_most = "300ms", guard = lock)]
async fn transfer(who: &str, id: u32, bank: &Bank, think: impl FnOnce()) -> Result<&'static str, TransferError> {
    println!("{who} has the lock on order {id}, fence {}", lock.fence());
    // Before reading: from here on nobody with a smaller fence can change what is read.
    let balances = bank.claim(lock.fence())?;
    if balances.done {
        return Ok("somebody has done it");
    }
    think();
    bank.book(lock.fence(), 100)?;
    Ok("done")
}

/// Stands for a database: each method is one statement, and so one atomic step.
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
        let mut row = self.at(fence)?;
        row.fence = fence.to_u64();
        Ok(*row)
    }

    /// `UPDATE orders SET fence = $1, done = true, … WHERE id = 7 AND fence <= $1`
    fn book(&self, fence: Fence, amount: i64) -> Result<(), TransferError> {
        let mut row = self.at(fence)?;
        *row = Balances { fence: fence.to_u64(), done: true, from: row.from - amount, to: row.to + amount };
        Ok(())
    }

    /// The row, unless a holder with a greater fence was there: `AND fence <= $1`.
    fn at(&self, fence: Fence) -> Result<MutexGuard<'_, Balances>, TransferError> {
        let row = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if fence.to_u64() < row.fence { Err(TransferError::Stale(fence)) } else { Ok(row) }
    }
}

#[derive(Debug)]
enum TransferError {
    /// A later holder of the lock has been here.
    Stale(Fence),
    /// The lock was not taken, or was lost.
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
            Self::Stale(fence) => write!(f, "refused, fence {fence} is not the newest"),
            Self::Lock(error) => error.fmt(f),
        }
    }
}

impl Error for TransferError {}

fn main() -> Result<(), Box<dyn Error>> {
    distributed_locks::init(std::env::var("LOCKS_URL").unwrap_or_else(|_| "memory:".to_owned()))?;
    let bank = Bank::default();
    let (stuck, is_stuck) = mpsc::channel();
    let get_stuck = move || {
        // As in a long garbage collection, a suspended laptop, a blocking call: `hold_at_most` passes, nothing can stop
        // this thread, and a TTL later the lock is Bob's.
        let _ = stuck.send(());
        thread::sleep(Duration::from_secs(4));
    };
    let (alice, bob) = thread::scope(|scope| {
        let alice = scope.spawn(|| distributed_locks::blocking(transfer("Alice", 7, &bank, get_stuck)));
        let _ = is_stuck.recv();
        let bob = scope.spawn(|| distributed_locks::blocking(transfer("Bob", 7, &bank, || {})));
        (alice.join(), bob.join())
    });
    for (who, outcome) in [("Bob", bob), ("Alice", alice)] {
        match outcome.map_err(|_| "a thread panicked")? {
            Ok(outcome) => println!("{who}: {outcome}"),
            Err(error) => println!("{who}: {error}"),
        }
    }
    let balances = *bank.0.lock().unwrap_or_else(PoisonError::into_inner);
    println!("balances: {} and {}", balances.from, balances.to);
    if (balances.from, balances.to) == (-100, 100) { Ok(()) } else { Err("the money did not move once".into()) }
}
