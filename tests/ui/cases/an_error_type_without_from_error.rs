use distributed_locks::distributed_lock;

struct JobError;

#[distributed_lock(key = "/a")]
async fn run() -> Result<(), JobError> {
    Ok(())
}

fn main() {}
