//! How often two hold a lock after a failover that came just after it was acquired: the figures of `docs/stores.md`.
//!
//! `cargo run -p locks-tests --all-features --bin failovers [how many of each kind [which kinds, as in 0,2]]`, with a Redis or
//! Valkey installed.

#![expect(clippy::print_stdout, reason = "figures, for whoever runs it")]
#![expect(clippy::unwrap_used, reason = "what fails has to be seen")]
#![expect(clippy::disallowed_methods, reason = "its clock and its tasks are those of a user")]

use std::time::{Duration, Instant};

use distributed_locks::{Error, Guard, Locks};
use support::redis::{Binary, Redis, SentinelSetup, Sentinels};
use support::scenarios::connect;
use support::{HANG_LIMIT, eventually};
use tokio::task::JoinHandle;

/// What the replica is doing when the primary is killed.
#[derive(Clone, Copy, Debug)]
enum Replica {
    /// It follows, on the same machine.
    Follows,
    /// It has been cut off for a moment: what is written meanwhile comes to it with the next moment.
    Behind,
}

#[tokio::main]
async fn main() {
    let count = std::env::args().nth(1).map_or(50, |count| count.parse().expect("how many failovers"));
    let binary = Binary::all().last().expect("a Redis or Valkey");
    println!("{count} failovers each: a lock is acquired, and its primary killed at once");
    println!(
        "| replica | `wait_replicas` | acquired | forgotten, and known in time | two held it | the first knew within |"
    );
    println!("|---|---|---|---|---|---|");
    let chosen = std::env::args().nth(2).unwrap_or_else(|| "0,1,2,3".to_owned());
    let kinds = [(Replica::Follows, 0), (Replica::Follows, 1), (Replica::Behind, 0), (Replica::Behind, 1)];
    for (kind, (replica, wait_replicas)) in kinds.into_iter().enumerate() {
        if chosen.split(',').any(|chosen| chosen == kind.to_string()) {
            let mut figures = Figures::default();
            let all = Sentinels::start(binary, &SentinelSetup { down_after: Some(700), ..SentinelSetup::default() });
            // Nothing is acquired by who waits for a replica that is away.
            let count = if matches!((replica, wait_replicas), (Replica::Behind, 1)) { count / 10 } else { count };
            for number in 0..count {
                figures.add(fail_over(&all, replica, wait_replicas, number).await);
            }
            let Figures { acquired, known, double, longest } = figures;
            println!("| {replica:?} | {wait_replicas} | {acquired} of {count} | {known} | {double} | {longest:?} |");
        }
    }
}

#[derive(Default)]
struct Figures {
    acquired: usize,
    known: usize,
    double: usize,
    /// Of those that were forgotten: how long after the second was granted the first was known to be lost.
    longest: Duration,
}

/// What came of one.
#[derive(Clone, Copy)]
enum Outcome {
    NotAcquired,
    Kept,
    /// It was forgotten, and its holder knew that before another one had it.
    Known,
    Double(Duration),
}

impl Figures {
    fn add(&mut self, outcome: Outcome) {
        self.acquired += usize::from(!matches!(outcome, Outcome::NotAcquired));
        self.known += usize::from(matches!(outcome, Outcome::Known));
        if let Outcome::Double(took) = outcome {
            self.double += 1;
            self.longest = self.longest.max(took);
        }
    }
}

async fn fail_over(all: &Sentinels, replica: Replica, wait_replicas: u32, number: usize) -> Outcome {
    let url = all.url_with(&format!("ttl=30s&connect_timeout=30s&wait_replicas={wait_replicas}"));
    let (ours, theirs) = (connect(&url), connect(&url));
    // Both have their connections.
    for locks in [&ours, &theirs] {
        drop(acquired(locks, "warm").await);
    }
    let primary = all.primary();
    let before = primary.endpoint();
    primary.replicated().await;
    let other = all.servers().iter().find(|server| server.endpoint() != before).unwrap();
    if matches!(replica, Replica::Behind) {
        other.pause();
        primary.ask(&["CLIENT", "KILL", "TYPE", "replica"]);
    }
    let key = format!("k{number}");
    // With a replica that is away nothing is acquired by who waits for one.
    let first = ours.lock(&key).wait(Duration::from_secs(2)).acquire().await.ok();
    primary.kill();
    if matches!(replica, Replica::Behind) {
        other.resume();
    }
    // It asks all the while.
    let second = tokio::spawn(theirs.lock(&key).acquire());
    all.promoted(&before).await;
    let outcome = match &first {
        None => Outcome::NotAcquired,
        Some(first) => compare(second, first).await,
    };
    drop(first);
    ours.close().await;
    theirs.close().await;
    primary.restart();
    settled(all).await;
    outcome
}

/// Whether another one gets the lock, although the first was told of no loss before.
async fn compare(second: JoinHandle<Result<Guard, Error>>, first: &Guard) -> Outcome {
    let (mut second, is_known) = (second, first.lost());
    tokio::pin!(is_known);
    let granted = tokio::select! {
        biased;
        _ = &mut is_known => {
            return Outcome::Known;
        }
        granted = &mut second => granted,
        // The sentinels have agreed; a client may not have heard of it yet.
        () = tokio::time::sleep(Duration::from_secs(4)) => {
            second.abort();
            return Outcome::Kept;
        }
    };
    let (second, granted) = (granted.unwrap().unwrap(), Instant::now());
    assert!(second.fence() > first.fence(), "the fence has not grown");
    is_known.await;
    Outcome::Double(granted.elapsed())
}

async fn acquired(locks: &Locks, key: &str) -> Guard {
    eventually(async || locks.lock(key).wait(HANG_LIMIT).acquire().await.map_err(|error| error.to_string())).await
}

/// Waits until one is the primary, and the other follows it. On a busy machine that may take another failover.
async fn settled(all: &Sentinels) {
    eventually(async || {
        let primary = all.primary_endpoint();
        let info = |server: &Redis| server.ask(&["INFO", "replication"]).text().unwrap_or_default();
        let follows = |server: &&Redis| {
            let info = info(server);
            info.contains("role:slave") && info.contains("master_link_status:up")
        };
        let others: Vec<&Redis> = all.servers().iter().filter(|server| Some(server.endpoint()) != primary).collect();
        match others.as_slice() {
            [replica] if follows(replica) => Ok(()),
            others => Err(format!("{primary:?}, {}", others.iter().map(|other| info(other)).collect::<String>())),
        }
    })
    .await;
}
