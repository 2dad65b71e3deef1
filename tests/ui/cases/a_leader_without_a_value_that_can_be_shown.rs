use distributed_locks::{Error, leader};

struct Address;

#[leader(key = "/a", value = address)]
async fn without_display(address: &Address) -> Result<(), Error> {
    Ok(())
}

#[leader(key = "/a", value = "{host}:80")]
async fn no_template(host: &str) -> Result<(), Error> {
    Ok(())
}

fn main() {}
