use distributed_locks::{Error, distributed_lock};

struct User {
    id: u8,
}

#[distributed_lock(key = "/a/<user.id:04>/<step >/<other.id>")]
async fn run(user: &User, step: u8) -> Result<(), Error> {
    println!("{} {step}", user.id);
    Ok(())
}

fn main() {}
