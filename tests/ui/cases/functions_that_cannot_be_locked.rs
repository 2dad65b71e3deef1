use distributed_locks::distributed_lock;

#[distributed_lock(key = "/a")]
const fn constant() -> Option<u8> {
    None
}

#[distributed_lock(key = "/a")]
extern "C" fn foreign() {}

fn main() {}
