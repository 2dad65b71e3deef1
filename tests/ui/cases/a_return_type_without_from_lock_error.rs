use distributed_locks::distributed_lock;

#[distributed_lock(key = "/a")]
async fn number() -> u32 {
    1
}

#[distributed_lock(key = "/a")]
fn plain() -> String {
    String::new()
}

fn main() {}
