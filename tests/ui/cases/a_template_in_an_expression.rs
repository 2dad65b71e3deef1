use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = concat!("/a/", "{job}"))]
async fn concatenated(job: u8) -> Result<(), Error> {
    println!("{job}");
    Ok(())
}

#[distributed_lock(key = "/a/<job>".to_string())]
async fn converted(job: u8) -> Result<(), Error> {
    println!("{job}");
    Ok(())
}

#[distributed_lock(key = format!("/a/{job}/{}", String::from("{job:04}")))]
async fn formatted(job: u8) -> Result<(), Error> {
    println!("{job}");
    Ok(())
}

fn main() {}
