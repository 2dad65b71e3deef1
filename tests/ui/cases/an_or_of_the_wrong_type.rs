use distributed_locks::distributed_lock;

#[distributed_lock(key = "/a", or = "not run")]
async fn run() -> u32 {
    1
}

fn main() {}
