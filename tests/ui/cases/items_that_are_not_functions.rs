use distributed_locks::distributed_lock;

#[distributed_lock(key = "/a")]
struct Structure;

#[distributed_lock(key = "/a")]
impl Structure {}

#[distributed_lock(key = "/a")]
trait Behaviour {}

#[distributed_lock(key = "/a")]
const CONSTANT: u8 = 1;

#[distributed_lock(key = "/a")]
mod module {}

fn main() {}
