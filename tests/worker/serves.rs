//! A service that holds, waits, and leads, until a signal comes.

use distributed_locks::{Error, Locks};
use std::future::pending;
use std::time::Duration;
use tokio::task::JoinSet;

fn ended(name: &str, result: &Result<(), Error>) {
    match result {
        Ok(()) => println!("ended {name} returned"),
        Err(error) => println!("ended {name} {:?}", error.kind()),
    }
}

/// Prints when it is dropped: a body that is stopped says so at once.
struct Stopped(&'static str);

impl Drop for Stopped {
    fn drop(&mut self) {
        println!("body of {} is over", self.0);
    }
}

/// Prints `begins NAME` for what it has, `stopping`, `body of NAME is over` and `ended NAME KIND` for each, and `drained WHAT`.
pub(crate) async fn run(grace: Duration, url: &str, key: &str) -> Result<(), Error> {
    let locks = Locks::connect(url)?;
    let stopped = locks.drain_on_signal(grace);
    let mut all = JoinSet::new();
    for name in ["polite", "stubborn", "waited"] {
        let (lock, locks) = (locks.lock(format!("{key}/{name}")), locks.clone());
        all.spawn(async move {
            let body = async |_| {
                println!("begins {name}");
                let _until_stopped = Stopped(name);
                match name {
                    "polite" => locks.stopping().await,
                    _ => pending().await,
                }
            };
            (name, lock.run(body).await)
        });
    }
    for name in ["led", "campaign"] {
        let election = locks.leader(format!("{key}/{name}"));
        all.spawn(async move {
            let body = |_| async {
                println!("begins {name}");
                pending().await
            };
            (name, election.run(body).await)
        });
    }
    let stopping = locks.clone();
    tokio::spawn(async move {
        stopping.stopping().await;
        println!("stopping");
    });
    let drained = stopped.await?;
    if !drained.is_complete() {
        // Their releases may wait for the store for long.
        all.detach_all();
    }
    while let Some(one) = all.join_next().await {
        if let Ok((name, result)) = one {
            ended(name, &result);
        }
    }
    println!("drained {drained}");
    Ok(())
}
