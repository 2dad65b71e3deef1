//! What a lock costs, by the server's own count.

use distributed_locks::{Guard, Locks, Mode};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use support::Server;
use support::cases;
use support::cases::{Case, Fixture};
use support::etcd::Setup;
use support::scenarios::connect;
use support::scenarios::cost::{self, RENEWED_URL, acquire_many, at_most, cost, quiet, quiet_client};
use support::scenarios::many;

pub(crate) fn cases() -> Vec<Case> {
    cases![
        uncontended_pair_is_two_calls_and_two_proposals,
        a_reader_or_a_permit_beside_others_is_two_calls_and_two_proposals,
        a_try_of_a_reader_beside_others_is_two_calls_at_most,
        eight_locks_at_one_moment_are_two_calls_and_two_proposals,
        a_reader_reads_no_other_reader,
        a_busy_try_is_one_call_and_leaves_nothing,
        a_last_look_is_one_call,
        work_that_is_done_once_is_five_calls_and_then_one,
        a_hand_over_is_four_calls_and_four_proposals,
        hold_at_least_within_the_ttl_costs_two_calls_at_its_end,
        many_tasks_of_one_process_send_a_pair_of_calls_in_ten_milliseconds,
        locks_that_are_wanted_at_one_moment_share_transactions,
        two_processes_in_turn_send_their_transactions_and_little_else;
        slow:
        a_thousand_locks_are_one_lease_and_one_keep_alive_each_third,
    ]
}

async fn uncontended_pair_is_two_calls_and_two_proposals(fixture: Fixture) {
    let (etcd, locks) = quiet(&fixture).await;
    let one = cost([("calls", 1), ("proposals", 1)]);
    cost::an_uncontended_pair_costs(&etcd, &locks, &one, &one).await;
}

async fn a_reader_or_a_permit_beside_others_is_two_calls_and_two_proposals(fixture: Fixture) {
    let (etcd, locks) = quiet(&fixture).await;
    let one = cost([("calls", 1), ("proposals", 1)]);
    cost::a_pair_beside_others_costs(&etcd, &locks, &one, &one).await;
}

/// A renewal goes through a stream that is open already.
async fn work_that_is_done_once_is_five_calls_and_then_one(fixture: Fixture) {
    let (etcd, locks) = quiet(&fixture).await;
    let (work, forget) = (cost([("calls", 5), ("proposals", 3)]), cost([("calls", 1), ("proposals", 1)]));
    cost::work_that_is_done_once_costs(&etcd, &locks, &work, &cost([("calls", 1)]), &forget).await;
}

/// The ticket's lease is granted and the key tied to it; then the key is tied to another, and that lease revoked.
async fn a_hand_over_is_four_calls_and_four_proposals(fixture: Fixture) {
    let (etcd, locks) = quiet(&fixture).await;
    let (taker, two) = (quiet_client(&etcd).await, cost([("calls", 2), ("proposals", 2)]));
    cost::a_hand_over_costs(&etcd, &locks, &taker, &two, &two).await;
}

async fn a_last_look_is_one_call(fixture: Fixture) {
    let (etcd, locks) = quiet(&fixture).await;
    cost::a_last_look_costs(&etcd, &locks, &cost([("calls", 1)]), &cost([])).await;
}

/// A permit has to be counted first.
async fn a_try_of_a_reader_beside_others_is_two_calls_at_most(fixture: Fixture) {
    let (etcd, locks) = quiet(&fixture).await;
    let other = quiet_client(&etcd).await;
    for (key, mode, calls) in [("/readers", Mode::Shared, 1), ("/permits", Mode::Permits(2), 2)] {
        let first = locks.lock(key).mode(mode).try_acquire().await.unwrap().unwrap();
        let before = etcd.cost();
        let second = locks.lock(key).mode(mode).try_acquire().await.unwrap().unwrap();
        // A transaction that puts nothing is a proposal, too.
        assert_eq!(etcd.cost_since(&before), cost([("calls", calls), ("proposals", calls)]), "{mode}");
        let before = etcd.cost();
        let refused = other.lock(key).try_acquire().await.unwrap();
        assert!(refused.is_none(), "a writer beside {mode}");
        assert_eq!(etcd.cost_since(&before), cost([("calls", 1), ("proposals", 1)]), "a writer beside {mode}");
        first.release().await.unwrap();
        second.release().await.unwrap();
    }
}

/// In whatever mode, and also if it only tries: one transaction each way, however many locks it is about.
async fn eight_locks_at_one_moment_are_two_calls_and_two_proposals(fixture: Fixture) {
    let (etcd, locks) = quiet(&fixture).await;
    let other = quiet_client(&etcd).await;
    let keys: Vec<String> = (0..8).map(|number| format!("/account/{number}")).collect();
    let expected = || cost([("calls", 1), ("proposals", 1)]);
    for mode in [Mode::Exclusive, Mode::Shared] {
        for wait in [None, Some(Duration::ZERO)] {
            let before = etcd.cost();
            let guard = locks.lock_all(&keys).mode(mode).wait(wait).acquire().await.unwrap();
            assert_eq!(etcd.cost_since(&before), expected(), "{mode}, {wait:?}");
            if mode == Mode::Exclusive {
                let before = etcd.cost();
                let refused = other.lock_all(&keys[5..]).try_acquire().await.unwrap();
                assert!(refused.is_none(), "three of eight that are held");
                assert_eq!(etcd.cost_since(&before), expected(), "a busy try");
            }
            let before = etcd.cost();
            guard.release().await.unwrap();
            assert_eq!(etcd.cost_since(&before), expected(), "{mode}, {wait:?}, release");
        }
    }
}

/// However many there are, nothing of theirs is sent to it.
async fn a_reader_reads_no_other_reader(fixture: Fixture) {
    const READERS: usize = 300;
    let (etcd, locks) = quiet(&fixture).await;
    let other = quiet_client(&etcd).await;
    let read = async |locks: &Locks| {
        let before = etcd.metrics().sent_bytes();
        locks.lock("/readers").mode(Mode::Shared).acquire().await.unwrap().release().await.unwrap();
        etcd.metrics().sent_bytes() - before
    };
    let alone = read(&other).await;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(locks.lock("/readers").mode(Mode::Shared).acquire().await.unwrap());
    }
    let beside = read(&other).await;
    assert!(beside <= 2 * alone, "{beside} bytes beside {READERS} readers, {alone} alone");
    many::release(readers).await;
}

async fn a_busy_try_is_one_call_and_leaves_nothing(fixture: Fixture) {
    let (etcd, locks) = quiet(&fixture).await;
    let other = quiet_client(&etcd).await;
    cost::a_busy_try_costs(&etcd, &locks, &other, &cost([("calls", 1), ("proposals", 1)])).await;
}

/// Nothing while the lock is held: the session lasts long enough. At its end, a lease for the rest and the entry's move.
async fn hold_at_least_within_the_ttl_costs_two_calls_at_its_end(fixture: Fixture) {
    let (etcd, locks) = quiet(&fixture).await;
    let before = etcd.cost();
    let guard = locks.lock("/least").hold_at_least(Duration::from_secs(60)).acquire().await.unwrap();
    assert_eq!(etcd.cost_since(&before), cost([("calls", 1), ("proposals", 1)]));
    let before = etcd.cost();
    guard.release().await.unwrap();
    assert_eq!(etcd.cost_since(&before), cost([("calls", 2), ("proposals", 2)]));
}

/// Within ten milliseconds the process hands its entry on to its own waiters. So it sends two requests for each entry,
/// and at the most as many entries as there are times of ten milliseconds.
async fn many_tasks_of_one_process_send_a_pair_of_calls_in_ten_milliseconds(fixture: Fixture) {
    let (etcd, locks) = quiet(&fixture).await;
    let (begun, before) = (Instant::now(), etcd.cost());
    let tasks = (0..32).map(|_| {
        let locks = locks.clone();
        tokio::spawn(async move {
            let mut fences = Vec::new();
            for _ in 0..50 {
                let body = |guard: Guard| std::future::ready(guard.fence());
                fences.push(locks.lock("many").name("job").run(body).await.unwrap());
            }
            fences
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut fences = Vec::new();
    for task in tasks {
        fences.extend(task.await.unwrap());
    }
    let (sent, during) = (etcd.cost_since(&before), begun.elapsed());
    let distinct: HashSet<u64> = fences.iter().map(|fence| fence.to_u64()).collect();
    let entries: HashSet<u64> = fences.iter().map(|fence| fence.number()).collect();
    println!("1,600 holds of 32 tasks in {during:?}: {} entries, {sent:?}", entries.len());
    assert_eq!(distinct.len(), 32 * 50, "a fence twice");
    let entries = entries.len() as u64;
    assert_eq!(sent, cost([("calls", 2 * entries), ("proposals", 2 * entries)]));
    assert!(entries <= at_most(during, Duration::from_millis(10)), "{entries} entries in {during:?}");
}

async fn locks_that_are_wanted_at_one_moment_share_transactions(fixture: Fixture) {
    let (etcd, locks) = quiet(&fixture).await;
    many::those_of_one_moment_share_requests(&etcd, &locks).await;
}

/// A client that has waited once for a lock learns of its next turn without a watch or a look for each.
async fn two_processes_in_turn_send_their_transactions_and_little_else(fixture: Fixture) {
    const HOLDS: u64 = 100;
    let (etcd, ours) = quiet(&fixture).await;
    let theirs = quiet_client(&etcd).await;
    let (begun, before) = (Instant::now(), etcd.metrics());
    let in_turn = async |locks: &Locks| {
        for _ in 0..HOLDS {
            locks.lock("turns").acquire().await.unwrap().release().await.unwrap();
        }
    };
    tokio::join!(in_turn(&ours), in_turn(&theirs));
    let after = etcd.metrics();
    assert_eq!(after.calls("Txn") - before.calls("Txn"), 2 * 2 * HOLDS);
    let (looks, watches) =
        (after.calls("Range") - before.calls("Range"), after.messages("Watch") - before.messages("Watch"));
    println!("{} holds: {looks} looks at the queue, {watches} requests for watches", 2 * HOLDS);
    // A watch is kept for a second after a hold. If a busy machine makes the next turn later than that, it is made anew.
    let lapsed = at_most(begun.elapsed(), Duration::from_secs(1));
    assert!(looks + watches < HOLDS / 4 + 2 * lapsed, "{looks} looks, {watches} watches");
}

async fn a_thousand_locks_are_one_lease_and_one_keep_alive_each_third(fixture: Fixture) {
    let etcd = fixture.start(&Setup::default());
    let locks = connect(&etcd.url_with(RENEWED_URL));
    let guards = acquire_many(&locks, 1000).await;
    assert_eq!(etcd.metrics().calls("LeaseGrant"), 1, "one session");
    let proposals = etcd.proposals();
    let keep_alives = || etcd.metrics().messages("LeaseKeepAlive");
    cost::one_renewal_for_each_third(keep_alives).await;
    assert_eq!(etcd.metrics().calls("LeaseGrant"), 1);
    assert_eq!(etcd.proposals(), proposals, "holding costs no raft entry");
    assert!(guards.iter().all(Guard::is_held));
    locks.close().await;
    assert_eq!(etcd.left("/many/"), [""; 0]);
}
