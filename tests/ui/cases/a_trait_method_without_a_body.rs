use distributed_locks::{Error, distributed_lock};

trait Job {
    #[distributed_lock(key = "/a")]
    async fn run(&self) -> Result<(), Error>;
}

fn main() {}
