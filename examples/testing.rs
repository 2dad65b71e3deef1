//! Use this to test your own locked functions: a store inside the test, which fails on demand, and time that passes at once.
//! In your crate each scenario is a `#[tokio::test(start_paused = true)]`, and `testing` a feature of a dev-dependency.
//!
//! ```sh
//! cargo run --example testing --features testing
//! ```
#![expect(clippy::print_stdout, reason = "the output is what the example is for")]
#![expect(clippy::disallowed_methods, reason = "to compare the time of the test with that of the machine")]

use distributed_locks::testing::TestStore;
use distributed_locks::{Error, ErrorKind, distributed_lock, scoped};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What is tested: it uses the global client, and knows nothing of tests.
#[distributed_lock(key = "/invoices/{month}", wait = 0)]
async fn send_invoices(month: &str, hours: u64) -> Result<&'static str, Error> {
    sleep(Duration::from_secs(3600 * hours)).await;
    Ok("sent")
}

/// Two machines, one lock: each client of a [`TestStore`] is a process of its own, and [`scoped`] puts it in the place of the
/// global client.
async fn only_one_machine_sends() {
    let store = TestStore::new();
    let first = scoped(store.client(), send_invoices("2026-11", 2));
    let second = scoped(store.client(), send_invoices("2026-11", 2));
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.ok(), Some("sent"));
    assert_eq!(second.map_err(|error| error.kind()), Err(ErrorKind::Busy));
}

/// The store goes away in the middle: the body is stopped before another could have the lock.
async fn the_body_is_stopped_when_the_store_goes_away() {
    let store = TestStore::new();
    let begun = Instant::now();
    let (sent, ()) = tokio::join!(scoped(store.client(), send_invoices("2026-11", 2)), async {
        sleep(Duration::from_secs(60)).await;
        store.faults().set_down(true);
    });
    assert_eq!(sent.map_err(|error| error.kind()), Err(ErrorKind::Lost));
    assert!(begun.elapsed() <= Duration::from_secs(60 + 10), "not after the TTL: {:?}", begun.elapsed());
}

/// A store that is away when the call begins is waited for, and then reported, not silently done without.
async fn nothing_is_sent_without_a_store() {
    let store = TestStore::new();
    store.faults().set_down(true);
    let refused = scoped(store.client(), send_invoices("2026-11", 2)).await;
    assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::Unavailable));
    store.faults().set_down(false);
    assert_eq!(scoped(store.client(), send_invoices("2026-11", 2)).await.ok(), Some("sent"));
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let (machine, test) = (std::time::Instant::now(), Instant::now());
    only_one_machine_sends().await;
    the_body_is_stopped_when_the_store_goes_away().await;
    nothing_is_sent_without_a_store().await;
    let hours = test.elapsed().as_secs_f32() / 3600.0;
    println!("three scenarios: {hours:.1} hours by the test's clock, {:.2} s in fact", machine.elapsed().as_secs_f32());
}
