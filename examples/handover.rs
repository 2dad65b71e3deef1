//! Use this where one process begins what another finishes under the same lock: a web request that starts a long job, and has its
//! answer at once.
//!
//! ```sh
//! LOCKS_URL=redis://localhost cargo run --example handover --features redis     # or etcd, zookeeper, postgres, mysql
//! ```
//!
//! The program takes a lock as a request would, starts a worker process, and sends it the ticket. Between the two nobody else gets the
//! lock: a second request meanwhile is told who has it.
#![expect(clippy::print_stdout, reason = "the output is what the example is for")]

use distributed_locks::{ErrorKind, Guard, Locks, Ticket};
use std::error::Error as StdError;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const KEY: &str = "/report/7";

/// What the request does under the lock, before the worker goes on: what has to be refused is refused here.
async fn request(locks: &Locks) -> Result<Option<(u16, Guard)>, Box<dyn StdError>> {
    match locks.lock(KEY).name("POST /report/7").wait(Duration::ZERO).acquire().await {
        Ok(guard) => Ok(Some((202, guard))),
        Err(busy) if busy.kind() == ErrorKind::Busy => {
            println!("request: 409, {busy}");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Hands the lock over to a process of its own. The ticket is a secret: not an argument, which everybody on the machine can read.
async fn hand_over(guard: Guard) -> Result<Child, Box<dyn StdError>> {
    let mut worker = Command::new(std::env::current_exe()?).arg("worker").stdin(Stdio::piped()).spawn()?;
    // Long enough for the worker to start; if it does not, the lock is free then.
    let ticket = guard.detach(Duration::from_secs(30)).await?;
    let mut stdin = worker.stdin.take().ok_or("the worker has no stdin")?;
    writeln!(stdin, "{ticket}")?;
    Ok(worker)
}

/// The worker: it goes on where the request has stopped.
async fn work(locks: &Locks) -> Result<(), Box<dyn StdError>> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let ticket: Ticket = text.parse()?;
    let guard = locks.adopt(&ticket).await?;
    println!("worker {}: goes on, with a greater fence: {}", std::process::id(), guard.fence() > ticket.fence());
    tokio::select! {
        () = tokio::time::sleep(Duration::from_secs(2)) => {} // the report
        lost = guard.lost() => return Err(lost.into()),
    }
    guard.check()?;
    println!("worker {}: the report is written", std::process::id());
    Ok(guard.release().await?)
}

async fn serve(locks: &Locks) -> Result<(), Box<dyn StdError>> {
    let Some((status, guard)) = request(locks).await? else { return Err("somebody else runs this example now".into()) };
    let mut worker = hand_over(guard).await?;
    println!("request: {status}, worker {} writes the report", worker.id());
    request(locks).await?;
    let ended = worker.wait()?;
    if !ended.success() {
        return Err(format!("the worker ended with {ended}, see above").into());
    }
    let (_, guard) = request(locks).await?.ok_or("it is still held")?;
    println!("request: free again");
    Ok(guard.release().await?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn StdError>> {
    if std::env::var_os("LOCKS_URL").is_none() {
        return Err("set LOCKS_URL to a store that can hand a lock over, such as `redis://localhost`, and run this with that feature; \
                    `file:` and `memory:` locks end with their process"
            .into());
    }
    let locks = distributed_locks::client()?;
    match std::env::args().nth(1) {
        None => serve(&locks).await?,
        Some(_) => work(&locks).await?,
    }
    locks.close().await;
    Ok(())
}
