use distributed_locks::{Error, distributed_lock};
use std::future::{Ready, ready};
use std::pin::Pin;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

fn other() -> Boxed<Option<u8>> {
    Box::pin(async { None })
}

#[distributed_lock(key = "/a", wait = 0, or = Box::pin(async { None }))]
fn alias() -> Boxed<Option<u8>> {
    other()
}

#[distributed_lock(key = "/a", wait = 0, or = ready(error.to_string()))]
fn ready_at_once() -> Ready<String> {
    ready(String::new())
}

#[distributed_lock(key = "/a", or = other.clone())]
fn generic<F: Future<Output = Result<(), Error>> + Clone>(future: &F, other: &F) -> F {
    future.clone()
}

#[distributed_lock(key = "/a", or = Box::pin(async { None }))]
fn on_one_way(now: bool) -> Boxed<Option<u8>> {
    if now { Box::pin(async { Some(1) }) } else { other() }
}

#[distributed_lock(key = "/a", or = T::default())]
fn anything<T: Clone + Default>(value: &T) -> T {
    value.clone()
}

fn main() {}
