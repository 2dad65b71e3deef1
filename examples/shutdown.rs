//! Use this in a service that is stopped and started again, by a deployment for instance: after a signal the jobs that can
//! end do so, the others are stopped, and all locks are free before the process ends. Nobody waits for a TTL.
//!
//! ```sh
//! cargo run --example shutdown --features shutdown        # ends after a second; or press Ctrl-C before
//! ```
#![expect(clippy::print_stdout, reason = "the output is what the example is for")]
#![expect(clippy::disallowed_methods, reason = "an application has tasks, and may read clocks")]

use distributed_locks::{ErrorKind, Locks, distributed_lock};
use std::error::Error;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How long jobs have to end by themselves.
const GRACE: Duration = Duration::from_millis(500);

/// Asks between two steps whether it should stop, and so ends in a good state.
#[distributed_lock(key = "/jobs/polite", ttl = 60)]
async fn polite(stop: watch::Receiver<bool>) -> Result<u32, distributed_locks::Error> {
    let mut steps = 0;
    while !*stop.borrow() {
        sleep(Duration::from_millis(50)).await;
        steps += 1;
    }
    Ok(steps)
}

/// Takes an hour, and does not ask.
#[distributed_lock(key = "/jobs/stubborn", ttl = 60)]
async fn stubborn() -> Result<(), distributed_locks::Error> {
    sleep(Duration::from_secs(3600)).await;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("LOCKS_URL").unwrap_or_else(|_| "memory:shutdown".to_owned());
    distributed_locks::init(&url)?;
    let (stop, stopped) = watch::channel(false);
    let polite = tokio::spawn(polite(stopped));
    let mut stubborn = tokio::spawn(stubborn());

    // A container's runtime sends SIGTERM: add `tokio::signal::unix::signal(SignalKind::terminate())`.
    tokio::select! {
        signal = tokio::signal::ctrl_c() => signal?,
        () = sleep(Duration::from_secs(1)) => {}
    }

    // First what can end by itself …
    stop.send(true)?;
    println!("polite: ended after {} steps", polite.await??);
    // … then what cannot. `close` stops bodies at their next await, and returns when the store has everything back.
    if timeout(GRACE, &mut stubborn).await.is_err() {
        distributed_locks::client()?.close().await;
    }
    let closed = Instant::now();
    let error = stubborn.await?.err().ok_or("it cannot have ended")?;
    println!("stubborn: {error}");

    // The next process, a moment later, waits for no TTL of a minute.
    let next = Locks::connect(&url)?;
    next.lock("/jobs/stubborn").wait(Duration::from_secs(30)).acquire().await?.release().await?;
    println!("the next one has the lock after {:.1} s", closed.elapsed().as_secs_f32());
    next.close().await;
    if error.kind() == ErrorKind::Closed { Ok(()) } else { Err("stopped for another reason".into()) }
}
