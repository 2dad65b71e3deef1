//! Free functions.

use crate::{assert_locked, store};
use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/free/{job}", wait = 0)]
async fn run(job: &str) -> Result<String, Error> {
    tokio::task::yield_now().await;
    Ok(job.to_owned())
}

#[distributed_lock(key = "/free/constant", wait = 0)]
async fn without_arguments() -> Result<(), Error> {
    Ok(())
}

/// `return` and `?` leave the function, as without the attribute.
#[distributed_lock(key = "/free/early", wait = 0)]
pub(crate) async fn early(number: &str) -> Result<u32, Box<dyn std::error::Error>> {
    let number: u32 = number.parse()?;
    if number == 0 {
        return Ok(100);
    }
    Ok(number)
}

/// Arguments that only the key uses, or that are unused.
#[distributed_lock(key = "/free/{by_value}", wait = 0)]
async fn owned(by_value: String, mut count: u32, _unused: Vec<u8>) -> Result<u32, Error> {
    count += 1;
    Ok(count)
}

/// The body may change, move and return its arguments.
#[distributed_lock(key = "/free/{list.len()}", wait = 0)]
async fn takes(mut list: Vec<u32>, into: &mut Vec<u32>) -> Result<Vec<u32>, Error> {
    list.push(4);
    into.append(&mut list.clone());
    Ok(list)
}

#[tokio::test]
async fn the_body_excludes_others_under_its_key() {
    let locks = store("free");
    assert_locked(&locks, "/free/nightly", async || run("nightly").await).await;
    assert_locked(&locks, "/free/constant", without_arguments).await;
    assert_locked(&locks, "/free/x", async || owned("x".to_owned(), 1, vec![]).await).await;
}

#[tokio::test]
async fn another_key_is_another_lock() {
    let locks = store("free-other");
    let _guard = locks.lock("/free/a").acquire().await.unwrap();
    assert_eq!(distributed_locks::scoped(locks.clone(), run("b")).await.unwrap(), "b");
}

#[tokio::test]
async fn return_and_question_mark_leave_the_function() {
    let locks = store("free-early");
    assert_eq!(distributed_locks::scoped(locks.clone(), early("0")).await.unwrap(), 100);
    assert_eq!(distributed_locks::scoped(locks.clone(), early("7")).await.unwrap(), 7);
    assert!(distributed_locks::scoped(locks.clone(), early("x")).await.unwrap_err().is::<std::num::ParseIntError>());
}

#[tokio::test]
async fn arguments_can_be_changed_and_moved() {
    let locks = store("free-arguments");
    assert_eq!(distributed_locks::scoped(locks.clone(), owned("k".to_owned(), 1, vec![])).await.unwrap(), 2);
    let mut into = vec![1];
    assert_eq!(distributed_locks::scoped(locks, takes(vec![3], &mut into)).await.unwrap(), [3, 4]);
    assert_eq!(into, [1, 3, 4]);
}
