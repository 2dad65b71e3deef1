//! Several locks at one moment.

#![expect(clippy::disallowed_methods, reason = "callers of one process are tasks")]

use crate::store;
use distributed_locks::{Error, ErrorKind, Locks, Mode, distributed_lock, scoped};
use std::time::Duration;

#[derive(Clone, Copy)]
struct Account {
    id: u32,
}

#[distributed_lock(keys = ["/account/{from.id}", "/account/{to.id}"], wait = 0, guard = guard)]
async fn transfer(from: Account, to: Account) -> Result<Vec<String>, Error> {
    for account in [from, to] {
        assert!(guard.fence_of(format!("/account/{}", account.id)).is_some());
    }
    Ok(guard.keys().map(ToString::to_string).collect())
}

const LEDGER: &str = "/ledger";

#[distributed_lock(keys = [LEDGER, format!("{LEDGER}/{day}"), "/audit/{day}"], wait = "1m", mode = shared, client = locks)]
fn read_ledger(locks: &Locks, day: &str) -> Result<usize, Error> {
    let _ = locks;
    Ok(distributed_locks::current().map_or(0, |guard| guard.keys().count()))
}

struct Teller {
    desk: String,
}

impl Teller {
    #[distributed_lock(keys = ["/desk/{self.desk}", "/account/{id:04}"], wait = 0)]
    async fn serve(&self, id: u32) -> Option<()> {
        Some(())
    }
}

#[tokio::test]
async fn the_locks_of_all_templates_are_held_and_released() {
    let locks = store("keys");
    let (from, to) = (Account { id: 9 }, Account { id: 3 });
    let call = || scoped(locks.clone(), transfer(from, to));
    assert_eq!(call().await.unwrap(), ["/account/3", "/account/9"]);
    for key in ["/account/3", "/account/9"] {
        let guard = locks.lock(key).acquire().await.unwrap();
        let error = call().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        guard.release().await.unwrap();
    }
    // One account is one lock.
    assert_eq!(scoped(locks.clone(), transfer(to, to)).await.unwrap(), ["/account/3"]);
}

#[tokio::test]
async fn both_directions_at_once_never_wait_for_each_other() {
    #[distributed_lock(keys = ["/account/{from}", "/account/{to}"])]
    async fn slow_transfer(from: u32, to: u32) -> Result<(), Error> {
        tokio::time::sleep(Duration::from_micros(u64::from(from))).await;
        Ok(())
    }
    let locks = store("keys_both_directions");
    let transfers = (0..40).map(|number| {
        let (from, to) = if number % 2 == 0 { (number % 3, number % 5) } else { (number % 5, number % 3) };
        tokio::spawn(scoped(locks.clone(), slow_transfer(from, to)))
    });
    for transfer in transfers.collect::<Vec<_>>() {
        let ended = tokio::time::timeout(Duration::from_secs(40), transfer).await;
        ended.expect("no circle").unwrap().unwrap();
    }
}

#[tokio::test]
async fn expressions_are_keys_too_and_a_plain_function_blocks_for_them() {
    let locks = store("keys_plain");
    let reader = locks.lock("/audit/1").mode(Mode::Shared).acquire().await.unwrap();
    let read = {
        let locks = locks.clone();
        tokio::task::spawn_blocking(move || read_ledger(&locks, "1"))
    };
    assert_eq!(read.await.unwrap().unwrap(), 3);
    reader.release().await.unwrap();
}

#[tokio::test]
async fn a_key_that_is_no_key_is_refused_with_the_others() {
    let locks = store("keys_bad");
    let teller = |desk: &str| Teller { desk: desk.to_owned() };
    assert!(scoped(locks.clone(), teller("7").serve(1)).await.is_some());
    assert!(scoped(locks.clone(), teller("").serve(1)).await.is_none(), "an empty value is no name");
    assert_eq!(locks.list("").await.unwrap(), [], "nothing is held");
}
