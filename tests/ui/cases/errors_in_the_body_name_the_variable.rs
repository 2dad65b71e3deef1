use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a/{job}")]
fn moved(job: String) -> Result<usize, Error> {
    drop(job);
    Ok(job.len())
}

#[distributed_lock(key = "/a")]
async fn borrowed_twice(list: &mut Vec<u8>) -> Result<usize, Error> {
    let first = &mut *list;
    let second = &*list;
    first.push(1);
    Ok(second.len())
}

#[distributed_lock(key = "/a")]
async fn not_mutable(list: &Vec<u8>) -> Result<usize, Error> {
    list.push(1);
    Ok(1)
}

#[distributed_lock(key = "/a")]
async fn not_declared_mutable(number: u8) -> Result<u8, Error> {
    number += 1;
    Ok(number)
}

fn main() {}
