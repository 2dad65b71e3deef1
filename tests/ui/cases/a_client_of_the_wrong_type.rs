use distributed_locks::{Error, distributed_lock};

struct Service {
    locks: String,
}

impl Service {
    #[distributed_lock(key = "/a", client = &self.locks)]
    async fn run(&self) -> Result<(), Error> {
        Ok(())
    }
}

fn main() {}
