use distributed_locks::distributed_lock;

#[distributed_lock(key = "/a")]
async fn run() -> ! {
    std::future::pending().await
}

fn main() {}
