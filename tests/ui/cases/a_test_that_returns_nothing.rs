use distributed_locks::distributed_lock;

#[distributed_lock(key = "/a")]
#[tokio::test]
async fn inside() {}

#[tokio::test]
#[distributed_lock(key = "/a")]
async fn outside() {}

#[distributed_lock(key = "/a")]
#[test]
fn plain() {}

#[distributed_lock(key = "/a", or = panic!("{error}"))]
#[test]
fn that_says_so() {}

fn main() {}
