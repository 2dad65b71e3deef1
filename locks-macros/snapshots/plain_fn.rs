#[distributed_lock(key = lock_name(job), crate = crate::distributed_locks)]
fn run(job: &str) -> Option<u32> {
    #![allow(unused)]
    Some(job.len())
}
