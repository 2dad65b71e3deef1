//! Use this when of several instances of a service one has to do what the others must not, for as long as it lives: writing an
//! index, moving a clock forward, talking to a device.
//!
//! ```sh
//! cargo run --example leader        # three processes; kills the leader, and the next, and the last
//! ```
//!
//! The program starts three copies of itself, which all want to lead, and observes who does.
#![expect(clippy::print_stdout, reason = "the output is what the example is for")]
#![expect(clippy::disallowed_methods, reason = "an application may read clocks")]

use distributed_locks::{Error, Locks, leader};
use std::error::Error as StdError;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const KEY: &str = "/leader/indexer";

/// Runs while this process leads. If it loses that, it is stopped here, and called again for its next term.
#[leader(key = KEY, value = name, ttl = 3, leadership = term)]
async fn index(name: &str) -> Result<(), Error> {
    println!("{name}: leads, in term {}", term.fence());
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await; // the work
    }
}

/// Starts three candidates, and kills whoever leads, until nobody is left.
async fn observe() -> Result<(), Box<dyn StdError>> {
    let files = std::env::temp_dir().join(format!("locks-leader-{}", std::process::id()));
    let url = std::env::var("LOCKS_URL").unwrap_or_else(|_| format!("file://{}", files.display()));
    let locks = Locks::connect(&url)?;
    let mut candidates = Vec::new();
    for number in 1..=3 {
        let name = format!("instance {number}");
        let process = Command::new(std::env::current_exe()?).arg(&name).env("LOCKS_URL", &url).spawn()?;
        candidates.push(Candidate { name, process });
    }

    let mut leaders = locks.leader(KEY).observe()?;
    let mut killed: Option<Instant> = None;
    while !candidates.is_empty() {
        // `None` in between: nobody leads. Where a store needs a TTL to see that a leader is dead, it shows it until then.
        let Some(leader) = leaders.next().await? else { continue };
        let Some(place) = candidates.iter().position(|candidate| candidate.name == leader.value) else { continue };
        let after = killed.map_or_else(String::new, |killed| format!(" {:.2} s later", killed.elapsed().as_secs_f32()));
        println!("observer: {} leads{after}; killing it", leader.value);
        tokio::time::sleep(Duration::from_millis(500)).await;
        drop(candidates.remove(place));
        killed = Some(Instant::now());
    }
    while leaders.next().await?.is_some() {}
    println!("observer: nobody leads any more");
    locks.close().await;
    if files.exists() {
        std::fs::remove_dir_all(files)?;
    }
    Ok(())
}

/// A process that wants to lead; killed when this is dropped.
struct Candidate {
    name: String,
    process: Child,
}

impl Drop for Candidate {
    fn drop(&mut self) {
        // SIGKILL: nothing in it can give anything back.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn StdError>> {
    match std::env::args().nth(1) {
        // The client comes from LOCKS_URL.
        Some(name) => Ok(index(&name).await?),
        None => observe().await,
    }
}
