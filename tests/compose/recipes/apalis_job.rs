use apalis::prelude::*;
use distributed_locks::{Error, distributed_lock};

/// One export of a customer at a time, on whatever machine.
#[distributed_lock(key = "/export/{customer}", client = &locks, wait = 0)]
pub async fn export(customer: u32, locks: Data<distributed_locks::Locks>) -> Result<(), Error> {
    // … the export …
    Ok(())
}
