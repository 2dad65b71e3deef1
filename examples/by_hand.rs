//! Use this where only a part of a function needs the lock, where the key is known at run time only, or to look at locks: the
//! same as the attribute, by hand.
//!
//! ```sh
//! cargo run --example by_hand
//! ```
#![expect(clippy::print_stdout, reason = "the output is what the example is for")]

use distributed_locks::{ErrorKind, Locks};
use std::error::Error;
use std::time::Duration;

const KEY: &str = "/report/weekly";

/// Collects without the lock, which nobody else needs to wait for, and publishes under it.
async fn report(locks: &Locks) -> Result<String, Box<dyn Error>> {
    let rows = collect().await;
    let guard = locks.lock(KEY).name("weekly report").wait(Duration::from_secs(5)).acquire().await?;
    let page = format!("{rows} rows, fence {}", guard.fence());
    // The work stops as soon as the hold is over. A guard by itself stops nothing.
    tokio::select! {
        () = upload(&page) => {}
        error = guard.lost() => return Err(error.into()),
    }
    // Once more before what cannot be undone: it looks at the clock, and sends nothing.
    guard.check()?;
    // Returns when the store has acknowledged it. Dropping the guard releases the lock in the background.
    guard.release().await?;
    Ok(page)
}

/// The same in one call: the body is stopped when the hold is over, as that of a locked function is.
async fn report_in_a_body(locks: &Locks) -> Result<String, distributed_locks::Error> {
    locks
        .lock(KEY)
        .name("weekly report")
        .run(async |guard| {
            let page = format!("{} rows, fence {}", collect().await, guard.fence());
            upload(&page).await;
            page
        })
        .await
}

async fn collect() -> usize {
    tokio::time::sleep(Duration::from_millis(50)).await;
    42
}

async fn upload(_page: &str) {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let locks = Locks::connect(std::env::var("LOCKS_URL").unwrap_or_else(|_| "memory:".to_owned()))?;
    println!("published: {}", report(&locks).await?);
    println!("published: {}", report_in_a_body(&locks).await?);

    // Another process, or this one elsewhere, has the lock: `None`, or an error that names the holder.
    let guard = locks.lock(KEY).name("by hand").acquire().await?;
    let second = locks.lock(KEY).try_acquire().await?;
    println!("free for another one: {}", second.is_some());
    let refused = locks.lock(KEY).wait(Duration::ZERO).acquire().await.err().ok_or("the lock was granted twice")?;
    println!("refused: {refused}");
    for line in locks.list("/report/").await? {
        let holders: Vec<String> = line.holders.iter().map(ToString::to_string).collect();
        println!("{}: held by {}, {} waiting", line.key, holders.join(", "), line.waiters.len());
    }
    guard.release().await?;
    let is_free = locks.inspect(KEY).await?.is_none();
    println!("free after the release: {is_free}");
    locks.close().await;
    if second.is_none() && refused.kind() == ErrorKind::Busy && is_free { Ok(()) } else { Err("not a lock".into()) }
}
