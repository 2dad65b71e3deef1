use distributed_locks::{Error, distributed_lock};

struct Shard {
    id: u32,
}

impl Shard {
    #[distributed_lock(key = "/shards/{self.id}")]
    async fn open(id: u32) -> Result<(), Error> {
        Ok(())
    }

    #[distributed_lock(key = "/shards/<self>")]
    async fn close(id: u32) -> Result<(), Error> {
        Ok(())
    }
}

fn main() {}
