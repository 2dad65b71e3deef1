//! What a function returns whose body did not run.

use crate::store;
use distributed_locks::{Error, ErrorKind, FromLockError, distributed_lock};
use std::cell::Cell;

#[derive(Debug)]
enum JobError {
    Lock(ErrorKind),
}

impl From<Error> for JobError {
    fn from(error: Error) -> Self {
        Self::Lock(error.kind())
    }
}

#[distributed_lock(key = "/return", wait = 0)]
async fn result() -> Result<u8, JobError> {
    Ok(1)
}

#[distributed_lock(key = "/return", wait = 0)]
async fn option() -> Option<u8> {
    Some(1)
}

#[distributed_lock(key = "/return", wait = 0)]
async fn unit(ran: &Cell<bool>) {
    ran.set(true);
}

#[distributed_lock(key = "/return", wait = 0, or = 0)]
async fn or_value() -> u8 {
    1
}

/// `or` sees `error`, and leaves the function as the body would.
#[distributed_lock(key = "/return", wait = 0, or = { if error.kind() == ErrorKind::Busy { return "busy"; } "other" })]
async fn or_error() -> &'static str {
    "ran"
}

#[distributed_lock(key = "/return", wait = 0, or = { other(); format!("{error}") })]
async fn or_format() -> String {
    "ran".to_owned()
}

/// `or` can use the arguments.
#[distributed_lock(key = "/return", wait = 0, or = fallback.len())]
async fn or_argument(moved: String, fallback: &str) -> usize {
    drop(moved);
    0
}

#[distributed_lock(key = "/return", wait = 0, or = later(7).await)]
async fn or_await() -> u8 {
    1
}

#[distributed_lock(key = "/return", wait = 0, or = panic!("{error}"))]
async fn never() -> ! {
    panic!("ran")
}

/// Values are coerced to the return type, as in any function.
#[distributed_lock(key = "/return", wait = 0)]
async fn coerced(number: bool) -> Result<Box<dyn std::fmt::Display>, Box<dyn std::error::Error>> {
    if number {
        return Ok(Box::new(5));
    }
    Ok(Box::new("text"))
}

/// A type of the user's own.
#[derive(Debug, PartialEq)]
enum Outcome {
    Ran,
    Skipped,
}

impl FromLockError for Outcome {
    fn from_lock_error(_: Error) -> Self {
        Self::Skipped
    }
}

#[distributed_lock(key = "/return", wait = 0)]
async fn own() -> Outcome {
    Outcome::Ran
}

fn other() {}

async fn later(value: u8) -> u8 {
    tokio::task::yield_now().await;
    value
}

#[tokio::test]
async fn a_body_that_runs_returns_its_value() {
    let ran = Cell::new(false);
    distributed_locks::scoped(store("return-free"), async {
        assert_eq!(result().await.unwrap(), 1);
        assert_eq!(option().await, Some(1));
        unit(&ran).await;
        assert_eq!(or_value().await, 1);
        assert_eq!(or_error().await, "ran");
        assert_eq!(or_format().await, "ran");
        assert_eq!(or_argument(String::new(), "abc").await, 0);
        assert_eq!(or_await().await, 1);
        assert_eq!(own().await, Outcome::Ran);
        assert_eq!(coerced(true).await.unwrap().to_string() + &coerced(false).await.unwrap().to_string(), "5text");
    })
    .await;
    assert!(ran.get());
}

#[tokio::test]
async fn without_its_body_a_function_returns_the_value_of_its_type_for_that() {
    let locks = store("return-held");
    let _guard = locks.lock("/return").acquire().await.unwrap();
    let ran = Cell::new(false);
    distributed_locks::scoped(locks.clone(), async {
        assert!(matches!(result().await, Err(JobError::Lock(ErrorKind::Busy))));
        assert_eq!(option().await, None);
        unit(&ran).await;
        assert_eq!(or_value().await, 0);
        assert_eq!(or_error().await, "busy");
        assert!(or_format().await.starts_with("lock `/return`"));
        assert_eq!(or_argument(String::new(), "abc").await, 3);
        assert_eq!(or_await().await, 7);
        assert_eq!(own().await, Outcome::Skipped);
    })
    .await;
    assert!(!ran.get());
}

#[tokio::test]
#[should_panic(expected = "lock `/return`")]
async fn a_function_that_never_returns_can_be_locked() {
    let locks = store("return-never");
    let _guard = locks.lock("/return").acquire().await.unwrap();
    distributed_locks::scoped(locks.clone(), never()).await;
}
