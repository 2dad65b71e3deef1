use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a/{0}")]
async fn run(job: &str) -> Result<(), Error> {
    println!("{job}");
    Ok(())
}

fn main() {}
