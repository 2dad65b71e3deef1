//! `worker forks URL KEY`: takes the lock, forks three children under it, and prints what happens in each process.
//!
//! What a child prints begins with `child N`; the parent prints `parent …`.

use distributed_locks::{Error, ErrorKind, Guard, Locks, blocking, distributed_lock};
use fork::Fork;
use std::time::Duration;

use crate::now;

/// Longer than any machine takes, and shorter than a test waits.
const WAIT: Duration = Duration::from_secs(20);

/// By the global client.
#[distributed_lock(key = key, wait = 0)]
fn once(key: &str) -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(key = key, wait = "20s", guard = held)]
fn turn(key: &str) -> Result<(i128, i128, u64), Error> {
    let begun = now();
    std::thread::sleep(Duration::from_millis(50));
    Ok((begun, now(), held.fence().to_u64()))
}

pub(crate) fn run(url: &str, key: &str) -> Result<(), Error> {
    distributed_locks::init(url)?;
    let locks = distributed_locks::client()?;
    let mut guard = Some(blocking(locks.lock(key).acquire())?);
    let mut children = Vec::new();
    for number in 0..3 {
        match fork::fork() {
            Ok(Fork::Child) => {
                child(number, url, key, &locks, guard.take());
                std::process::exit(0);
            }
            Ok(Fork::Parent(child)) => children.push(child),
            Err(error) => println!("parent cannot fork: {error}"),
        }
    }
    for child in children {
        println!("parent waited {}", fork::waitpid(child).is_ok());
    }
    println!("parent held {}", guard.as_ref().is_some_and(Guard::is_held));
    let excludes = blocking(Locks::connect(url)?.lock(key).try_acquire())?.is_none();
    println!("parent excludes {excludes}");
    println!("parent another {}", said(blocking(locks.lock(format!("{key}/parent")).wait(WAIT).acquire()).map(drop)));
    println!("parent released {}", said(guard.map_or(Ok(()), |guard| blocking(guard.release()))));
    blocking(locks.close());
    Ok(())
}

/// A service that becomes a daemon after `init`, which it called first thing in `main`.
pub(crate) fn after_init(url: &str, key: &str) -> Result<(), Error> {
    distributed_locks::init(url)?;
    match fork::fork() {
        Ok(Fork::Child) => println!("child {}", said(once(key))),
        Ok(Fork::Parent(child)) => drop(fork::waitpid(child)),
        Err(error) => println!("child cannot be forked: {error}"),
    }
    std::process::exit(0)
}

fn child(number: u32, url: &str, key: &str, locks: &Locks, guard: Option<Guard>) {
    let print = |what: &str, value: String| println!("child {number} {what} {value}");
    let Some(guard) = guard else { return };
    // What it has of its parent.
    print("check", format!("{} {}", guard.is_held(), said(guard.check())));
    print("lost", format!("{:?}", blocking(guard.lost()).kind()));
    for wait in [None, Some(WAIT), Some(Duration::ZERO)] {
        let lock = locks.lock(format!("{key}/inherited"));
        let lock = if let Some(wait) = wait { lock.wait(wait) } else { lock };
        print("inherited", said(blocking(lock.acquire()).map(drop)));
    }
    print("inspected", said(blocking(locks.inspect(key)).map(drop)));
    print("watched", said(blocking(locks.watch(key)).map(drop)));
    print("stopping", said(blocking(locks.drain_on_signal(Duration::ZERO)).map(drop)));
    print("forced", said(blocking(locks.force_release(key)).map(drop)));
    blocking(locks.close());
    if number == 0 {
        print("released", said(blocking(guard.release())));
    } else {
        drop(guard);
    }
    // What it has of its own.
    print("global", said(once(key)));
    print("turn", said_of(turn(&format!("{key}/turn")), |(begun, ended, fence)| format!("{begun} {ended} {fence}")));
    let fresh = Locks::connect(url);
    let tried = fresh.as_ref().map(|fresh| blocking(fresh.lock(key).try_acquire()));
    print("fresh", said_of(tried.unwrap_or_else(|_| Ok(None)), |guard| format!("{}", guard.is_some())));
    if let Ok(fresh) = fresh {
        let own = format!("{key}/own/{number}");
        let held = blocking(fresh.lock(&own).wait(WAIT).acquire());
        let line = blocking(fresh.inspect(&own)).ok().flatten();
        let holder = line.and_then(|line| line.holders.into_iter().next());
        let record = holder.map(|holder| format!("{} {}", holder.pid == std::process::id(), holder.instance));
        print("own", said_of(held, |guard| format!("{} {}", guard.is_held(), record.unwrap_or_default())));
        blocking(fresh.close());
    }
    print("init", said(distributed_locks::init(url)));
}

fn said(result: Result<(), Error>) -> String {
    said_of(result, |()| "ok".to_owned())
}

fn said_of<T>(result: Result<T, Error>, of: impl FnOnce(T) -> String) -> String {
    match result {
        Ok(value) => of(value),
        Err(error) if error.kind() == ErrorKind::Busy => "Busy".to_owned(),
        Err(error) => format!("{:?} {error}", error.kind()),
    }
}
