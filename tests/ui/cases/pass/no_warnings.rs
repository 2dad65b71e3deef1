//! Every kind of locked function under the strictest lints.

#![deny(warnings, missing_docs, rust_2018_idioms, unused, unreachable_pub, single_use_lifetimes)]
#![forbid(unsafe_code, unreachable_code, unused_variables, unused_mut, unused_parens, unused_braces)]

use distributed_locks::{Error, distributed_lock, leader};
use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;

struct Service {
    shard: u32,
    locks: distributed_locks::Locks,
}

impl Service {
    #[distributed_lock(key = "/a/{self.shard}/{job}", ttl = 10, wait = "1m", client = &self.locks, guard = held)]
    async fn run(&mut self, job: &str, mut count: u32) -> Result<u64, Error> {
        count += 1;
        self.shard += count;
        std::future::ready(()).await;
        Ok(held.fence().to_u64())
    }

    #[leader(key = "/a/{self.shard}/{job}", value = job, ttl = 10, client = &self.locks, leadership = term)]
    async fn lead(&mut self, job: &str, mut count: u32, list: Vec<u32>) -> Result<u64, Error> {
        count += u32::try_from(list.len()).unwrap_or(1);
        self.shard += count;
        std::future::ready(()).await;
        Ok(term.fence().to_u64())
    }

    #[distributed_lock(key = "/b/<id>", hold_at_most = 5, or = None)]
    async fn only_in_the_key(&self, id: u32) -> Option<&u32> {
        Some(&self.shard)
    }

    #[distributed_lock(key = "/c", or = format!("{error}"))]
    async fn once(self) -> String {
        String::new()
    }
}

#[distributed_lock(key = "/d/{a:03}/{(b)}/{if c { 1 } else { 2 }}", on_lost = continue)]
async fn patterns((a, b): (u32, u32), c: bool, _ignored: u8) {}

#[distributed_lock(key = "/e/{name}")]
async fn generic<T: Display>(name: T, list: &[T]) -> Result<impl Iterator<Item = &T>, Box<dyn std::error::Error>> {
    if list.is_empty() {
        return Err("empty".into());
    }
    Ok(list.iter())
}

#[distributed_lock(key = "/f")]
fn plain(mut list: Vec<u32>) -> Option<Vec<u32>> {
    list.push(1);
    Some(list)
}

#[distributed_lock(key = format!("/g/{job}"))]
fn boxed(job: String) -> Pin<Box<dyn Future<Output = Result<usize, Error>> + Send>> {
    Box::pin(async move { Ok(job.len()) })
}

#[leader(key = "/l/{a}", or = None)]
async fn leads((a, b): (u32, u32), _ignored: u8) -> Option<u32> {
    Some(b)
}

#[leader(key = "/m", or = std::process::exit(1))]
async fn leads_for_ever() -> ! {
    std::future::pending().await
}

#[distributed_lock(key = "/h", or = std::process::exit(1))]
async fn endless() -> ! {
    std::future::pending().await
}

fn main() {
    let mut service = Service { shard: 1, locks: distributed_locks::Locks::connect("memory:").unwrap() };
    drop(service.run("x", 1));
    drop(service.lead("x", 1, vec![2]));
    drop(leads((1, 2), 3));
    drop(leads_for_ever());
    drop(service.only_in_the_key(1));
    drop(service.once());
    drop(patterns((1, 2), true, 3));
    drop(generic("x", &["y"]));
    drop(boxed(String::new()));
    drop(endless());
    let _ = plain as fn(_) -> _;
}
