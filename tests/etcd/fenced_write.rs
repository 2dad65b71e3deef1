//! The caller's own write that only counts while the lock is held, whatever any clock shows.

use distributed_locks::etcd_client::{Txn, TxnOp};
use support::cases;
use support::cases::{Case, Fixture};
use support::scenarios::client;

pub(crate) fn cases() -> Vec<Case> {
    cases![commits_while_held_and_not_after, a_stale_write_does_not_count_under_the_next_hold_of_the_same_process,]
}

async fn commits_while_held_and_not_after(fixture: Fixture) {
    let (server, key, target) = (fixture.server(), fixture.key("lock"), fixture.key("target"));
    let locks = client(&fixture);
    let mut etcd = locks.etcd_client().await.unwrap();
    let mut write = async |compare, value: &str| {
        let txn = Txn::new().when([compare]).and_then([TxnOp::put(target.as_str(), value, None)]);
        etcd.txn(txn).await.unwrap().succeeded()
    };

    let first = locks.lock(&key).acquire().await.unwrap();
    let stale = first.etcd_compare().unwrap();
    assert!(write(stale.clone(), "while held").await);
    first.release().await.unwrap();
    assert!(!write(stale.clone(), "after release").await);

    let second = locks.lock(&key).acquire().await.unwrap();
    assert!(!write(stale, "while another holds").await);
    assert!(write(second.etcd_compare().unwrap(), "the new holder").await);
    server.ctl(&["del", "--prefix", &key]);
    assert!(!write(second.etcd_compare().unwrap(), "after its deletion").await);
    assert_eq!(server.ctl(&["get", "--print-value-only", &target]).trim(), "the new holder");
}

/// An entry on which a write is conditional is not handed to the next body of the process.
async fn a_stale_write_does_not_count_under_the_next_hold_of_the_same_process(fixture: Fixture) {
    let (key, target) = (fixture.key("lock"), fixture.key("target"));
    let locks = client(&fixture);
    let mut etcd = locks.etcd_client().await.unwrap();
    let job = || locks.lock(&key).name("job");
    let first = job().acquire().await.unwrap();
    let (stale, fence) = (first.etcd_compare().unwrap(), first.fence());
    let (waiter, release) = tokio::join!(job().acquire(), first.release());
    release.unwrap();
    let second = waiter.unwrap();
    assert!(fence.number() < second.fence().number());
    let txn = Txn::new().when([stale]).and_then([TxnOp::put(target.as_str(), "late", None)]);
    assert!(!etcd.txn(txn).await.unwrap().succeeded());
}
