//! Use this where one call needs several locks: `keys` acquires all of them at one moment, or none, so that two calls that name
//! them in different orders never wait for each other.
//!
//! ```sh
//! cargo run --example transfer
//! ```
#![expect(clippy::print_stdout, reason = "the output is what the example is for")]
#![expect(clippy::disallowed_methods, reason = "an application has tasks")]

use distributed_locks::distributed_lock;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The balance of each account, and the fence of whoever wrote it last: a database would have them.
type Accounts = Mutex<BTreeMap<&'static str, (i64, u64)>>;

/// Moves money. With one lock after the other, `alice → bob` and `bob → alice` would each have one and wait for the other.
#[distributed_lock(keys = ["/account/{from}", "/account/{to}"], guard = guard)]
async fn transfer(
    accounts: &Accounts,
    from: &'static str,
    to: &'static str,
    amount: i64,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let balance = |account| accounts.lock().map_or(0, |all| all.get(account).map_or(0, |(balance, _)| *balance));
    let (left, right) = (balance(from), balance(to));
    tokio::time::sleep(Duration::from_millis(1)).await; // Anybody else who wrote meanwhile would be lost.
    let mut all = accounts.lock().map_err(|_| "a transfer panicked")?;
    for (account, balance) in [(from, left - amount), (to, right + amount)] {
        // Each account compares its own lock's fence: a transfer that was paused cannot write any more.
        let fence = guard.fence_of(format!("/account/{account}")).ok_or("it is one of the keys")?.to_u64();
        let (_, written_by) = all.get(account).copied().unwrap_or_default();
        if fence < written_by {
            return Err("a later transfer has written this account".into());
        }
        all.insert(account, (balance, fence));
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    distributed_locks::init(std::env::var("LOCKS_URL").unwrap_or_else(|_| "memory:".to_owned()))?;
    let names = ["alice", "bob", "carol"];
    let accounts: Arc<Accounts> = Arc::new(Mutex::new(names.into_iter().map(|name| (name, (1000, 0))).collect()));

    let transfers = (0..60).map(|number| {
        let (from, to) = (names[number % 3], names[(number + 1 + number % 2) % 3]);
        let accounts = Arc::clone(&accounts);
        tokio::spawn(async move { transfer(&accounts, from, to, 10).await })
    });
    for transfer in transfers.collect::<Vec<_>>() {
        transfer.await??;
    }

    let all = accounts.lock().map_err(|_| "a transfer panicked")?.clone();
    println!("60 transfers in both directions, no deadlock: {all:?}");
    if all.values().map(|(balance, _)| balance).sum::<i64>() == 3000 { Ok(()) } else { Err("money was lost".into()) }
}
