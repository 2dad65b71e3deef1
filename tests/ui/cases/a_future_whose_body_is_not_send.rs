use distributed_locks::{Error, distributed_lock};

use std::rc::Rc;

#[distributed_lock(key = "/a")]
async fn run() -> Result<u32, Error> {
    let local = Rc::new(1);
    std::future::ready(()).await;
    Ok(*local)
}

fn send(_: impl Send) {}

fn check() {
    send(run());
}

fn main() {}
