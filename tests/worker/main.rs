//! A process that holds locks, for tests that kill, pause and cut off real processes.
//!
//! `worker hold TTL URL KEY [URL KEY]…` runs a locked body for each pair until it is stopped, and prints
//! `start KEY NANOS FENCE`, `end KEY NANOS LATE` by the clock that all processes of the machine share, `refused KEY KIND`.
//! `LATE` is by how much the machine was late, at the most, to let this process run: see `lateness.rs`.
//! `worker leads TTL URL KEY VALUE` campaigns, and prints `leads NANOS FENCE VALUE` for each term.
//! `worker turns COUNT URL KEY` runs short locked bodies one after another: `turn NANOS NANOS FENCE`.
//! `worker as MODE URL KEY…` holds one lock, or several at one moment, until it is stopped: `start KEY NANOS FENCE`. `MODE` is
//! `exclusive`, `shared`, or how many permits there are. `worker turns-as MODE COUNT URL KEY…` holds them so often: `turned`.
//! `worker inside MODE COUNT URL KEY` holds one so often, for a millisecond each: `inside NANOS NANOS`.
//! `worker ends HOW URL KEY` runs one locked function whose `main` ends right after it, `worker least URL KEY` one with
//! `hold_at_least`, `worker briefly URL KEY` one with that and a body that ends at once, and `worker configured [URL] [URL]`
//! one after as many `init`s.
//! `worker forks URL KEY` forks under a lock: see `forks.rs`, `worker daemon URL KEY` right after `init`; `worker guards HOW URL KEY` is in `guards.rs`.
//! `worker serves GRACE URL KEY` holds, waits and leads until a signal comes: see `serves.rs`.
//! `worker detaches TTL URL KEY` acquires, hands over for so many seconds, and stays: `ticket FENCE TEXT`. `worker adopts URL TEXT` goes on
//! with it until it is stopped, `adopted FENCE`, or says why not: `refused KIND`.
//! `worker forgetful` calls two functions that return nothing, without a client.
//! `worker clients COUNT URL KEY` makes, uses and drops clients, and waits until their files are closed: `closed SECONDS`.

#![expect(clippy::print_stdout, reason = "the tests read it")]
#![expect(clippy::panic, reason = "one of its ways to end, and what wrong arguments are answered with")]
#![expect(clippy::disallowed_methods, reason = "an application has tasks")]

mod forks;
mod guards;
mod lateness;
mod serves;

use distributed_locks::{Error, Locks, Mode, distributed_lock, leader};
use std::time::Duration;
use tokio::sync::Notify;

/// Nanoseconds on the clock that all processes of this machine share.
fn now() -> i128 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

/// Prints that a body ends, however it does.
struct Ends(String);

impl Drop for Ends {
    fn drop(&mut self) {
        println!("end {} {} {}", self.0, now(), lateness::of_this_process());
    }
}

#[distributed_lock(key = key, ttl = ttl, client = locks, guard = held)]
async fn hold(locks: &Locks, key: &str, ttl: Duration) -> Result<(), Error> {
    let _ends = Ends(key.to_owned());
    println!("start {key} {} {}", now(), held.fence().to_u64());
    std::future::pending().await
}

#[leader(key = key, value = value, ttl = ttl, leadership = term)]
async fn leads(key: &str, value: &str, ttl: Duration) -> Result<(), Error> {
    println!("leads {} {} {value}", now(), term.fence().to_u64());
    std::future::pending().await
}

/// That the body of `ending` has begun.
static BEGUN: Notify = Notify::const_new();

#[distributed_lock(key = key, ttl = 10)]
async fn ending(key: &str, how: &str) -> Result<(), Error> {
    println!("start {key} {}", now());
    BEGUN.notify_one();
    match how {
        "return" => Ok(()),
        "panic" => panic!("the worker was told to panic"),
        _ => std::future::pending().await,
    }
}

#[distributed_lock(key = key, ttl = 2, hold_at_least = 6)]
async fn at_least(key: &str) -> Result<(), Error> {
    println!("start {key} {}", now());
    std::future::pending().await
}

#[distributed_lock(key = key, ttl = 60, hold_at_least = 6)]
async fn briefly(key: &str) -> Result<(), Error> {
    println!("start {key} {}", now());
    Ok(())
}

#[distributed_lock(key = "/forgetful/{job}")]
async fn forgetful(job: &str) {
    println!("ran {job}");
}

/// When a turn began and ended, and its fence.
#[distributed_lock(key = key, client = locks, guard = held)]
async fn turn(locks: &Locks, key: &str) -> Result<(i128, i128, u64), Error> {
    let begun = now();
    tokio::time::sleep(Duration::from_millis(1)).await;
    Ok((begun, now(), held.fence().to_u64()))
}

fn mode_of(text: &str) -> Mode {
    match (text, text.parse()) {
        ("exclusive", _) => Mode::Exclusive,
        ("shared", _) => Mode::Shared,
        (_, Ok(permits)) => Mode::Permits(permits),
        (other, Err(_)) => panic!("a mode is `exclusive`, `shared` or a number of permits, and not {other:?}"),
    }
}

async fn clients(count: usize, url: &str, key: &str) -> Result<(), Error> {
    // The background thread has files of its own.
    drop(Locks::connect("memory:")?);
    let before = open_files();
    for _ in 0..count {
        let locks = Locks::connect(url)?;
        turn(&locks, key).await?;
    }
    let begun = now();
    println!("dropped {before} {}", open_files());
    // The client of a store may have some of its own, for all.
    while open_files() > before + count / 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("closed {}", (now() - begun) / 1_000_000_000);
    Ok(())
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["hold", ttl, pairs @ ..] => {
            let ttl = Duration::from_secs(ttl.parse().unwrap_or(10));
            let mut bodies = tokio::task::JoinSet::new();
            for pair in pairs.chunks_exact(2) {
                let (locks, key) = (Locks::connect(pair[0])?, pair[1].to_owned());
                bodies.spawn(async move {
                    if let Err(error) = hold(&locks, &key, ttl).await {
                        println!("refused {key} {:?} {error}", error.kind());
                    }
                });
            }
            let ended = async { while bodies.join_next().await.is_some() {} };
            tokio::select! {
                biased;
                () = ended => Ok(()),
                () = lateness::watch() => Ok(()),
            }
        }
        ["leads", ttl, url, key, value] => {
            distributed_locks::init(*url)?;
            leads(key, value, Duration::from_secs(ttl.parse().unwrap_or(10))).await
        }
        ["turns", count, url, key] => {
            let locks = Locks::connect(url)?;
            for _ in 0..count.parse().unwrap_or(1) {
                let (begun, ended, fence) = turn(&locks, key).await?;
                println!("turn {begun} {ended} {fence}");
            }
            Ok(())
        }
        ["as", mode, url, keys @ ..] => {
            let guard = Locks::connect(url)?.lock_all(keys).mode(mode_of(mode)).acquire().await?;
            println!("start {} {} {}", guard.key(), now(), guard.fence().to_u64());
            std::future::pending().await
        }
        ["turns-as", mode, count, url, keys @ ..] => {
            let locks = Locks::connect(url)?;
            for _ in 0..count.parse().unwrap_or(1) {
                locks.lock_all(keys).mode(mode_of(mode)).acquire().await?.release().await?;
                println!("turned");
            }
            Ok(())
        }
        ["inside", mode, count, url, key] => {
            let locks = Locks::connect(url)?;
            for _ in 0..count.parse().unwrap_or(1) {
                let guard = locks.lock(key).mode(mode_of(mode)).acquire().await?;
                let begun = now();
                tokio::time::sleep(Duration::from_millis(1)).await;
                println!("inside {begun} {}", now());
                guard.release().await?;
            }
            Ok(())
        }
        ["detaches", ttl, url, key] => {
            let guard = Locks::connect(url)?.lock(key).acquire().await?;
            let fence = guard.fence().to_u64();
            let ticket = guard.detach(Duration::from_secs(ttl.parse().unwrap_or(10))).await?;
            println!("ticket {fence} {ticket}");
            std::future::pending().await
        }
        ["adopts", url, ticket] => match Locks::connect(url)?.adopt(&ticket.parse()?).await {
            Ok(guard) => {
                println!("adopted {}", guard.fence().to_u64());
                std::future::pending().await
            }
            Err(error) => {
                println!("refused {:?} {error}", error.kind());
                Ok(())
            }
        },
        ["serves", grace, url, key] => serves::run(Duration::from_secs(grace.parse().unwrap_or(1)), url, key).await,
        ["daemon", url, key] => forks::after_init(url, key),
        ["forgetful"] => {
            forgetful("first").await;
            forgetful("second").await;
            Ok(())
        }
        ["clients", count, url, key] => clients(count.parse().unwrap_or(1), url, key).await,
        ["guards", how, url, key] => guards::run(how, url, key),
        ["forks", url, key] => forks::run(url, key),
        ["least", url, key] => {
            distributed_locks::init(*url)?;
            at_least(key).await
        }
        ["briefly", url, key] => {
            distributed_locks::init(*url)?;
            briefly(key).await
        }
        ["configured", rest @ ..] => {
            let first = rest.first().map(|url| distributed_locks::init(*url));
            let second = rest.get(1).map(|url| distributed_locks::init(*url));
            for refused in [first, second].into_iter().flatten().filter_map(Result::err) {
                println!("init {:?} {refused}", refused.kind());
            }
            match ending("/configured", "return").await {
                Ok(()) => println!("ran"),
                Err(error) => println!("refused {:?} {error}", error.kind()),
            }
            if rest.is_empty() {
                println!("late {:?}", distributed_locks::init("memory:").err().map(|error| error.kind()));
            }
            Ok(())
        }
        ["ends", how, url, key] => {
            distributed_locks::init(*url)?;
            if *how == "spawned" {
                let key = (*key).to_owned();
                tokio::spawn(async move { ending(&key, "pending").await });
                BEGUN.notified().await;
                return Ok(());
            }
            if matches!(*how, "drop" | "abandon") {
                tokio::select! {
                    biased;
                    ended = ending(key, how) => return ended,
                    () = BEGUN.notified() => {}
                }
                if *how == "drop" {
                    distributed_locks::client()?.close().await;
                }
                return Ok(());
            }
            ending(key, how).await
        }
        other => {
            println!(
                "usage: worker hold|leads|detaches|adopts|serves|turns|as|turns-as|inside|least|configured|ends|forks|daemon|guards|forgetful|clients …, not {other:?}"
            );
            std::process::exit(2)
        }
    }
}
