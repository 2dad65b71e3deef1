use distributed_locks::{Error, leader};
use std::future::Future;

#[leader(key = "/a")]
fn blocks() -> Result<(), Error> {
    Ok(())
}

#[leader(key = "/a")]
fn returns_a_future() -> impl Future<Output = Result<(), Error>> {
    async { Ok(()) }
}

#[leader]
async fn without_a_key() -> Result<(), Error> {
    Ok(())
}

#[leader(key = "/a", leadership = job)]
async fn shadows(job: u8) -> Result<(), Error> {
    Ok(())
}

#[leader(key = "/a")]
async fn cannot_say_so() -> u8 {
    1
}

fn main() {}
