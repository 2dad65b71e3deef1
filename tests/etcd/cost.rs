//! What a lock costs, by the server's own count.

use distributed_locks::{ErrorKind, Guard, Locks};
use std::collections::HashSet;
use std::time::Duration;
use support::cases::Store;
use support::etcd::{Metrics, Setup};

/// Requests of every kind, without the streams.
fn calls(metrics: &Metrics) -> u64 {
    ["Txn", "Range", "Put", "DeleteRange", "LeaseGrant", "LeaseRevoke", "LeaseTimeToLive", "Watch", "LeaseKeepAlive"]
        .iter()
        .map(|method| metrics.calls(method))
        .sum()
}

/// A server of its own, so that nobody else's requests count, and a client whose session is there already.
async fn quiet(store: &Store) -> (support::etcd::Etcd, Locks) {
    let etcd = store.start(&Setup::default());
    // A TTL so long that no renewal falls into the count.
    let locks = Locks::connect(format!("{}?ttl=600s", etcd.url())).unwrap();
    locks.lock("warm").acquire().await.unwrap().release().await.unwrap();
    (etcd, locks)
}

pub(crate) async fn uncontended_pair_is_two_calls_and_two_proposals(store: Store) {
    let (etcd, locks) = quiet(&store).await;
    for round in 0..20 {
        let before = etcd.metrics();
        let guard = locks.lock("pair").acquire().await.unwrap();
        let held = etcd.metrics();
        assert_eq!((calls(&held) - calls(&before), held.proposals() - before.proposals()), (1, 1), "acquire {round}");
        guard.release().await.unwrap();
        let after = etcd.metrics();
        assert_eq!((calls(&after) - calls(&held), after.proposals() - held.proposals()), (1, 1), "release {round}");
    }
}

pub(crate) async fn a_busy_try_is_one_call_and_leaves_nothing(store: Store) {
    let (etcd, locks) = quiet(&store).await;
    let other = client_of(&etcd);
    let guard = other.lock("busy").name("the other").acquire().await.unwrap();
    let before = etcd.metrics();
    let error = locks.lock("busy").wait(Duration::ZERO).acquire().await.unwrap_err();
    let after = etcd.metrics();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert_eq!(error.holder().unwrap().name, "the other");
    assert_eq!(calls(&after) - calls(&before), 1);
    assert_eq!(etcd.ctl(&["get", "--prefix", "--keys-only", "busy/"]).split_whitespace().count(), 1, "only the holder");
    guard.release().await.unwrap();
}

/// Whoever is next in the process goes on with the entry that is there: two requests each time that it is a new one.
pub(crate) async fn a_crowd_in_one_process_asks_once_in_ten_milliseconds(store: Store) {
    let (etcd, locks) = quiet(&store).await;
    let before = etcd.metrics();
    let tasks = (0..32).map(|_| {
        let locks = locks.clone();
        tokio::spawn(async move {
            let mut fences = Vec::new();
            for _ in 0..50 {
                let body = |guard: Guard| std::future::ready(guard.fence());
                fences.push(locks.lock("crowd").name("job").run(body).await.unwrap());
            }
            fences
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut fences = Vec::new();
    for task in tasks {
        fences.extend(task.await.unwrap());
    }
    let after = etcd.metrics();
    let distinct: HashSet<u64> = fences.iter().map(|fence| fence.to_u64()).collect();
    let entries: HashSet<u64> = fences.iter().map(|fence| fence.number()).collect();
    let asked = (calls(&after) - calls(&before), after.proposals() - before.proposals());
    println!("1,600 holds of 32 tasks: {} entries, {asked:?} calls and proposals", entries.len());
    assert_eq!(distinct.len(), 32 * 50, "a fence twice");
    let pairs = 2 * entries.len() as u64;
    assert_eq!(asked, (pairs, pairs));
    assert!(entries.len() < 320, "{} entries", entries.len());
}

/// Who has waited once for a lock hears of its next turn without a watch or a look for each.
pub(crate) async fn two_who_take_turns_send_their_transactions_and_little_else(store: Store) {
    const HOLDS: u64 = 100;
    let (etcd, ours) = quiet(&store).await;
    let theirs = client_of(&etcd);
    theirs.lock("warm").acquire().await.unwrap().release().await.unwrap();
    let before = etcd.metrics();
    let in_turns = async |locks: &Locks| {
        for _ in 0..HOLDS {
            locks.lock("turns").acquire().await.unwrap().release().await.unwrap();
        }
    };
    tokio::join!(in_turns(&ours), in_turns(&theirs));
    let after = etcd.metrics();
    assert_eq!(after.calls("Txn") - before.calls("Txn"), 2 * 2 * HOLDS);
    let (looks, watches) =
        (after.calls("Range") - before.calls("Range"), after.messages("Watch") - before.messages("Watch"));
    println!("{} holds: {looks} looks at the line, {watches} requests for watches", 2 * HOLDS);
    assert!(looks + watches < HOLDS / 4, "{looks} looks, {watches} watches");
}

fn client_of(etcd: &support::etcd::Etcd) -> Locks {
    Locks::connect(format!("{}?ttl=600s", etcd.url())).unwrap()
}

pub(crate) async fn a_thousand_locks_are_one_lease_and_one_keepalive_each_third(store: Store) {
    let etcd = store.start(&Setup::default());
    let locks = Locks::connect(format!("{}?ttl=6s", etcd.url())).unwrap();
    let mut guards = Vec::new();
    for number in 0..1000 {
        guards.push(locks.lock(format!("/many/{number}")).acquire().await.unwrap());
    }
    let before = etcd.metrics();
    assert_eq!(before.calls("LeaseGrant"), 1, "one session");
    // Three renewals' time: a renewal is due every 1.8 to 2 s.
    tokio::time::sleep(Duration::from_millis(6200)).await;
    let after = etcd.metrics();
    let pings = after.messages("LeaseKeepAlive") - before.messages("LeaseKeepAlive");
    assert!((3..=4).contains(&pings), "{pings} keepalives in 6.2 s at a TTL of 6 s");
    assert_eq!(after.calls("LeaseGrant"), 1);
    assert_eq!(after.proposals(), before.proposals(), "holding costs no raft entry");
    assert!(guards.iter().all(Guard::is_held));
    locks.close().await;
    assert_eq!(etcd.ctl(&["get", "--prefix", "--keys-only", "/many/"]).trim(), "");
}
