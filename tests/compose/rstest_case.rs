//! rstest: above `#[rstest]` the lock is the function's, and its key can use the arguments. Below it, rstest moves the attribute
//! to each case, a function without parameters: a key that uses one is a compile error that says so.

use crate::{is_locked, is_locked_here, store};
use distributed_locks::{Error, distributed_lock};
use rstest::{fixture, rstest};

#[fixture]
fn number() -> u32 {
    3
}

#[rstest]
#[case(1)]
#[case(2)]
#[tokio::test]
#[distributed_lock(key = "/rstest/below", client = &store())]
async fn below(#[case] id: u32, number: u32) -> Result<(), Error> {
    assert!(is_locked("/rstest/below").await);
    assert!(id == 1 || id == 2);
    assert_eq!(number, 3);
    Ok(())
}

#[distributed_lock(key = "/rstest/above/{id}", client = &store())]
#[rstest]
#[case(1)]
#[case(2)]
#[tokio::test]
async fn above(#[case] id: u32, number: u32) -> Result<(), Error> {
    assert!(is_locked(&format!("/rstest/above/{id}")).await);
    assert_eq!(number, 3);
    Ok(())
}

#[rstest]
#[distributed_lock(key = "/rstest/plain", client = &store())]
fn a_plain_test(number: u32) -> Result<(), Error> {
    assert!(is_locked_here("/rstest/plain"));
    assert_eq!(number, 3);
    Ok(())
}

#[rstest]
#[case(1)]
#[should_panic(expected = "the key is empty")]
#[tokio::test]
#[distributed_lock(key = String::new(), client = &store(), or = panic!("{error}"))]
async fn a_case_that_does_not_run_fails(#[case] _id: u32) {}
