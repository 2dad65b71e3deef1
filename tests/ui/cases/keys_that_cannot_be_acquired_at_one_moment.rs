use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", keys = ["/b"])]
async fn key_and_keys() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(keys = [])]
async fn none() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(keys = "/a")]
async fn one_string() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(keys = accounts)]
async fn computed(accounts: Vec<String>) -> Result<(), Error> {
    let _ = accounts;
    Ok(())
}

#[distributed_lock(keys = ["/a/{from}", "/a/{two}"])]
async fn unknown_value(from: u32, to: u32) -> Result<(), Error> {
    let _ = (from, to);
    Ok(())
}

#[distributed_lock(keys = ["/a", 'b', true])]
async fn not_strings() -> Result<(), Error> {
    Ok(())
}

#[distributed_lock(keys = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q"])]
async fn too_many() -> Result<(), Error> {
    Ok(())
}

fn main() {}
