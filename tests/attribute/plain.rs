//! Functions that are not asynchronous: the thread waits.

use crate::{current_key, store};
use distributed_locks::{Error, ErrorKind, distributed_lock};

#[distributed_lock(key = "/plain/{job}", wait = 0, client = locks)]
fn run(locks: &distributed_locks::Locks, job: &str) -> Result<String, Error> {
    if job == "early" {
        return Ok(String::new());
    }
    Ok(current_key())
}

struct Counter(u32);

impl Counter {
    #[distributed_lock(key = "/plain/counter", wait = 0, client = locks, guard = held, on_lost = continue)]
    fn add(&mut self, locks: &distributed_locks::Locks, mut by: u32) -> Option<&u32> {
        by += u32::from(held.is_held());
        self.0 += by;
        Some(&self.0)
    }
}

/// Any return type, if `or` is the value to return instead.
#[distributed_lock(key = "/plain/or", wait = 0, client = locks, or = format!("not run: {error}"))]
fn or(locks: &distributed_locks::Locks) -> String {
    "run".to_owned()
}

fn hold(locks: &distributed_locks::Locks, key: &str) -> distributed_locks::Guard {
    distributed_locks::blocking(locks.lock(key).acquire()).unwrap()
}

#[test]
fn a_plain_function_is_locked() {
    let locks = store("plain");
    assert_eq!(run(&locks, "x").unwrap(), "/plain/x");
    assert_eq!(run(&locks, "early").unwrap(), "");
    let guard = hold(&locks, "/plain/x");
    assert_eq!(run(&locks, "x").unwrap_err().kind(), ErrorKind::Busy);
    distributed_locks::blocking(guard.release()).unwrap();
    assert!(run(&locks, "x").is_ok());
}

#[test]
fn a_plain_method_is_locked() {
    let locks = store("plain-method");
    let mut counter = Counter(0);
    assert_eq!(counter.add(&locks, 2), Some(&3));
    let _guard = hold(&locks, "/plain/counter");
    assert_eq!(counter.add(&locks, 2), None);
    assert_eq!(counter.0, 3);
}

#[test]
fn or_is_returned_instead() {
    let locks = store("plain-or");
    assert_eq!(or(&locks), "run");
    let _guard = hold(&locks, "/plain/or");
    assert!(or(&locks).starts_with("not run: lock `/plain/or`"), "{}", or(&locks));
}

#[tokio::test]
async fn it_works_inside_of_a_runtime() {
    let locks = store("plain-runtime");
    assert_eq!(run(&locks, "x").unwrap(), "/plain/x");
}
