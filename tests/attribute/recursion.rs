//! A locked function that calls itself.

use crate::store;
use distributed_locks::{Error, distributed_lock};

/// The same key: the inner call joins the hold of the outer one.
#[distributed_lock(key = "/recursion", wait = 0)]
async fn factorial(n: u32) -> Result<u32, Error> {
    if n == 0 {
        return Ok(1);
    }
    Ok(n * Box::pin(factorial(n - 1)).await?)
}

/// Another key each time.
#[distributed_lock(key = "/recursion/{n}", wait = 0)]
async fn nested(n: u32) -> Result<String, Error> {
    let key = distributed_locks::current().map(|guard| guard.key().to_string()).unwrap_or_default();
    match n {
        0 => Ok(key),
        _ => Ok(key + &Box::pin(nested(n - 1)).await?),
    }
}

#[tokio::test]
async fn it_calls_itself_under_one_lock_or_several() {
    let locks = store("recursion");
    assert_eq!(distributed_locks::scoped(locks.clone(), factorial(5)).await.unwrap(), 120);
    assert_eq!(distributed_locks::scoped(locks, nested(2)).await.unwrap(), "/recursion/2/recursion/1/recursion/0");
}

#[tokio::test]
async fn an_inner_call_does_not_run_while_its_lock_is_held() {
    let locks = store("recursion-held");
    let _guard = locks.lock("/recursion/0").acquire().await.unwrap();
    assert_eq!(
        distributed_locks::scoped(locks.clone(), nested(2)).await.unwrap_err().kind(),
        distributed_locks::ErrorKind::Busy
    );
}
