use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/cron/{jbo}/{}", ttl = 0, wait = "soon", on_lost = explode, permits = 3, gaurd = g)]
async fn run(job: &str) -> Result<(), Error> {
    Ok(())
}

fn main() {}
