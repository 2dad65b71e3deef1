//! Use this in a service that is stopped and started again, by a deployment for instance: after SIGTERM no more locks are
//! acquired, jobs that can end do so, the others are stopped, and all locks are free before the process ends. Nobody waits for
//! a TTL.
//!
//! ```sh
//! cargo run --example shutdown                 # starts the service, stops it by SIGTERM, and is the next instance itself
//! cargo run --example shutdown -- service      # the service alone, on the store of LOCKS_URL: press Ctrl-C
//! ```
//!
//! The store is that of LOCKS_URL; without it, files in a directory of its own.
#![expect(clippy::print_stdout, reason = "the output is what the example is for")]
#![expect(clippy::disallowed_methods, reason = "an application has tasks, and may read clocks")]

use distributed_locks::{Locks, distributed_lock, leader};
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::pin::pin;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How long jobs have to end by themselves.
const GRACE: Duration = Duration::from_millis(500);

/// Learns between two steps that the service is stopping, and so ends in a good state.
#[distributed_lock(key = "/jobs/polite", ttl = 30)]
async fn polite() -> Result<u32, distributed_locks::Error> {
    println!("polite: begins");
    let locks = distributed_locks::client()?;
    let (mut stopping, mut steps) = (pin!(locks.stopping()), 0);
    loop {
        tokio::select! {
            () = &mut stopping => return Ok(steps),
            () = sleep(Duration::from_millis(50)) => steps += 1,
        }
    }
}

/// Takes an hour, and does not ask.
#[distributed_lock(key = "/jobs/stubborn", ttl = 30)]
async fn stubborn() -> Result<(), distributed_locks::Error> {
    println!("stubborn: begins");
    sleep(Duration::from_secs(3600)).await;
    Ok(())
}

/// Leads, and gives way as soon as the service is stopping: the next leader need not wait for the jobs.
#[leader(key = "/leader/indexer", value = std::process::id(), ttl = 30)]
async fn index() -> Result<(), distributed_locks::Error> {
    println!("leader: begins");
    distributed_locks::client()?.stopping().await;
    Ok(())
}

/// The service. Its exit code says whether all ended well.
async fn serve() -> Result<ExitCode, Box<dyn Error>> {
    // First of all: a signal that comes early is not lost.
    let stopped = distributed_locks::drain_on_signal(GRACE);
    let (polite, stubborn, index) = (tokio::spawn(polite()), tokio::spawn(stubborn()), tokio::spawn(index()));
    let drained = stopped.await?;
    println!("polite: ended after {} steps", polite.await??);
    index.await??;
    match stubborn.await? {
        Ok(()) => println!("stubborn: ended by itself"),
        Err(error) => println!("stubborn: {error}"),
    }
    println!("service: {drained}");
    Ok(if drained.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts the service, stops it as a container's runtime does, and acquires its locks.
async fn replace() -> Result<ExitCode, Box<dyn Error>> {
    let files = std::env::temp_dir().join(format!("locks-shutdown-{}", std::process::id()));
    let url = std::env::var("LOCKS_URL").unwrap_or_else(|_| format!("file://{}", files.display()));
    let mut service = Command::new(std::env::current_exe()?);
    let mut service = service.arg("service").env("LOCKS_URL", &url).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(service.stdout.take().ok_or("a pipe")?).lines();
    for line in lines.by_ref().take(3) {
        println!("{}", line?);
    }

    println!("SIGTERM");
    Command::new("kill").args(["-TERM", &service.id().to_string()]).status()?;
    for line in lines {
        println!("{}", line?);
    }
    let status = service.wait()?;

    let (ended, locks) = (Instant::now(), Locks::connect(&url)?);
    for key in ["/jobs/polite", "/jobs/stubborn", "/leader/indexer"] {
        locks.lock(key).wait(Duration::from_secs(30)).acquire().await?.release().await?;
    }
    println!("next: has had all locks {:.1} s after that", ended.elapsed().as_secs_f32());
    locks.close().await;
    if files.exists() {
        std::fs::remove_dir_all(files)?;
    }
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    match std::env::args().nth(1) {
        // The client comes from LOCKS_URL.
        Some(_) => serve().await,
        None => replace().await,
    }
}
