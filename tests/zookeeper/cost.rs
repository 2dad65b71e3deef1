//! What a lock costs, by the server's own count.

use crate::{Case, Fixture};
use distributed_locks::{ErrorKind, Guard, Mode};
use std::time::{Duration, Instant};
use support::cases::Program;
use support::scenarios::cost::{self, RENEWED, RENEWED_URL, acquire_many, at_most, cost, quiet, quiet_client};
use support::scenarios::{acquire_and_release, connect, granted};
use support::zookeeper::{Setup, ZooKeeper};
use support::{Cost, Server, cases, eventually, in_time};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        an_uncontended_pair_is_one_round_trip_each,
        a_new_key_is_one_transaction_however_deep,
        a_key_that_others_made_is_one_transaction,
        a_lock_whose_node_was_deleted_is_made_again,
        nobody_is_overlooked_when_the_queue_is_not_listed,
        a_busy_try_leaves_nothing,
        a_last_look_is_three_requests_and_no_transaction,
        a_hand_over_is_a_session_and_two_transactions,
        work_that_is_done_once_is_three_transactions_and_then_a_read,
        a_reader_or_a_permit_costs_what_a_writer_does,
        several_locks_are_one_transaction_each_way,
        a_release_wakes_one,
        a_writer_wakes_each_reader_once,
        a_permit_wakes_whom_it_is_for,
        a_waiter_for_one_of_many_permits_has_one_watch,
        a_lapsing_lock_has_no_connection,
        a_close_costs_the_same_after_locks_that_lapse,
        what_stays_behind_is_removed_by_the_server;
        slow:
        a_thousand_locks_are_one_session,
        a_thousand_waiters_are_one_node_and_one_watch,
    ]
}

async fn an_uncontended_pair_is_one_round_trip_each(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let (acquire, release) = (pair(1), pair(1));
    // The first makes the lock's node, the second lists the queue, and from the third on that node is watched.
    for requests in [2, 2, 3] {
        let before = server.cost();
        let guard = locks.lock("/pair").acquire().await.unwrap();
        assert_eq!(server.cost_since(&before), pair(requests));
        guard.release().await.unwrap();
    }
    cost::an_uncontended_pair_costs(&server, &locks, &acquire, &release).await;
    cost::an_uncontended_pair_is_two_round_trips(&server).await;
}

/// A `sync`, so that no server answers that is behind, the names of the queue, and its one record.
async fn a_last_look_is_three_requests_and_no_transaction(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    cost::a_last_look_costs(&server, &locks, &cost([("requests", 3)]), &cost([("requests", 1)])).await;
}

/// The ticket's session is a transaction, too, and ends by itself; each move is one with a look behind it, and a ticket is read first.
async fn a_hand_over_is_a_session_and_two_transactions(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let taker = quiet_client(&server).await;
    let (detach, adopt) = (cost([("requests", 4), ("transactions", 2)]), cost([("requests", 4), ("transactions", 1)]));
    cost::a_hand_over_costs(&server, &locks, &taker, &detach, &adopt).await;
}

/// A `sync` and a read for each of two looks; the entry, the record, and the release.
async fn work_that_is_done_once_is_three_transactions_and_then_a_read(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let work = cost([("requests", 7), ("transactions", 3)]);
    cost::work_that_is_done_once_costs(&server, &locks, &work, &cost([("requests", 2)]), &pair(1)).await;
}

/// One transaction, in so many requests.
fn pair(requests: u64) -> Cost {
    cost([("requests", requests), ("transactions", 1)])
}

/// The nodes above are made in the transaction of the entry. A client that has made none before looks first.
async fn a_new_key_is_one_transaction_however_deep(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    for depth in 1..=6 {
        let key = format!("/{depth}{}", "/deep".repeat(depth - 1));
        for key in [&key, &format!("{key}/sibling/a"), &format!("{key}/sibling/b")] {
            let before = server.cost();
            let guard = locks.lock(key).acquire().await.unwrap();
            // Its transaction number is asked for at the same time.
            assert_eq!(server.cost_since(&before), pair(2), "{key}");
            let before = server.cost();
            guard.release().await.unwrap();
            assert_eq!(server.cost_since(&before), pair(1), "{key}");
        }
    }
    let first = connect(&server.url_with(cost::RARE));
    let before = server.cost();
    let guard = first.lock("/first/of/its/kind").acquire().await.unwrap();
    assert_eq!(server.cost_since(&before)["transactions"], 2, "one of them opens the session");
    guard.release().await.unwrap();
}

/// What is there is found by reading.
/// Of several clients one shows it: on a busy machine a session may say in between that it is there.
async fn a_key_that_others_made_is_one_transaction(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    for key in ["/made/by/others", "/made/by/them"] {
        acquire_and_release(&locks, key).await;
    }
    // Three to look, and to create and to list; only its own node of the second one is unknown.
    let expected = [pair(5), pair(3)];
    let mut seen = Vec::new();
    while seen.len() < 10 {
        let other = quiet_client(&server).await;
        let before = server.cost();
        let guard = other.lock("/made/by/others").acquire().await.unwrap();
        let first = server.cost_since(&before);
        let before = server.cost();
        let further = other.lock("/made/by/them").acquire().await.unwrap();
        let costs = [first, server.cost_since(&before)];
        guard.release().await.unwrap();
        further.release().await.unwrap();
        if costs == expected {
            return;
        }
        seen.push(costs);
    }
    panic!("{expected:?} are expected: {seen:#?}");
}

/// The failure is a transaction too, and there is one more.
async fn a_lock_whose_node_was_deleted_is_made_again(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    for _ in 0..5 {
        acquire_and_release(&locks, "/deleted/by/others").await;
    }
    for gone in ["/deleted/by/others", "/deleted"] {
        server.command_line(&["deleteall", gone]);
        let before = server.cost();
        let guard = locks.lock("/deleted/by/others").acquire().await.unwrap();
        assert_eq!(server.cost_since(&before)["transactions"], 2);
        assert_eq!(server.left("/deleted").len(), 1);
        guard.release().await.unwrap();
    }
}

/// An entry whose number follows that of the last hold is alone; unless another client was there in between, or the lock's
/// node was deleted, and counts anew.
async fn nobody_is_overlooked_when_the_queue_is_not_listed(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let other = quiet_client(&server).await;
    for made_again in [false, true] {
        // The last of them has the number 4.
        for _ in 0..5 {
            acquire_and_release(&locks, "/alone").await;
        }
        if made_again {
            server.command_line(&["delete", "/alone"]);
            for _ in 0..4 {
                acquire_and_release(&other, "/alone").await;
            }
        }
        let guard = other.lock("/alone").acquire().await.unwrap();
        let error = locks.lock("/alone").wait(Duration::ZERO).acquire().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "made again: {made_again}");
        guard.release().await.unwrap();
        server.command_line(&["delete", "/alone"]);
    }
}

async fn a_busy_try_leaves_nothing(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    // Create and list, read the holder's record, and delete.
    let work = cost([("requests", 4), ("transactions", 2)]);
    let other = quiet_client(&server).await;
    acquire_and_release(&locks, "/pair").await;
    cost::a_busy_try_costs(&server, &locks, &other, &work).await;
}

/// Alone, and beside others, when the queue is listed as well.
async fn a_reader_or_a_permit_costs_what_a_writer_does(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    for mode in [Mode::Exclusive, Mode::Shared, Mode::Permits(2)] {
        let key = format!("/{mode}").replace(' ', "-");
        // As of a writer: the third watches the lock's node, and from the fourth on nothing is listed.
        for requests in [2, 2, 3, 1, 1, 1] {
            let before = server.cost();
            let guard = locks.lock(&key).mode(mode).acquire().await.unwrap();
            assert_eq!(server.cost_since(&before), pair(requests), "acquire, {mode}");
            let before = server.cost();
            guard.release().await.unwrap();
            assert_eq!(server.cost_since(&before), pair(1), "release, {mode}");
        }
    }
    cost::a_pair_beside_others_costs(&server, &locks, &pair(2), &pair(1)).await;
}

async fn several_locks_are_one_transaction_each_way(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    // It leaves the transaction's number out of the answer, so that it is asked for.
    let asked = u64::from(fixture.program().label().ends_with("3.8"));
    let keys = ["/several/c", "/several/a", "/several/d/b"];
    acquire_and_release(&locks, "/several/new").await;
    // Their nodes are made in the same transaction: nobody else can be there. Afterwards each queue is listed.
    for lists in [0, 3, 3] {
        let before = server.cost();
        let guard = locks.lock_all(keys).acquire().await.unwrap();
        assert_eq!(server.cost_since(&before), pair(1 + lists + asked));
        assert_eq!(server.left("/several").len(), 3);
        let before = server.cost();
        guard.release().await.unwrap();
        assert_eq!(server.cost_since(&before), pair(1));
        assert_eq!(server.left("/several"), [""; 0]);
    }
    let other = quiet_client(&server).await;
    let held = other.lock("/several/d/b").name("the other").acquire().await.unwrap();
    let before = server.cost();
    let error = locks.lock_all(keys).wait(Duration::ZERO).acquire().await.unwrap_err();
    assert_eq!(error.holder().unwrap().name, "the other");
    // The record is read while the entry is deleted.
    assert_eq!(server.cost_since(&before), cost([("requests", 6 + asked), ("transactions", 2)]));
    held.release().await.unwrap();
}

async fn a_thousand_locks_are_one_session(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url_with(RENEWED_URL));
    let guards = acquire_many(&locks, 1000).await;
    assert_eq!(server.count("zk_global_sessions"), 1);
    // From the next renewal on each hold is watched.
    eventually(async || match server.count("zk_watch_count") {
        1000 => Ok(()),
        watches => Err(watches),
    })
    .await;
    let (begun, before) = (Instant::now(), server.cost());
    // Three renewals' time.
    tokio::time::sleep(RENEWED + Duration::from_millis(200)).await;
    let (sent, during) = (server.cost_since(&before), begun.elapsed());
    println!("a thousand locks held: {sent:?} in {during:?} at a TTL of {RENEWED:?}");
    // A renewal is due with each third of the TTL, or a tenth of that sooner, and a ping when nothing else was sent for
    // half of that. A busy machine makes both late.
    let most = at_most(during, RENEWED * 3 / 10) + at_most(during, RENEWED * 3 / 20);
    assert!(sent["requests"] <= most, "{sent:?} for the renewals and pings of {during:?}");
    assert!(!sent.contains_key("transactions"), "holding costs nothing on disk: {sent:?}");
    assert!(guards.iter().all(Guard::is_held));
    locks.close().await;
    assert_eq!(server.left("/many"), [""; 0]);
    assert_eq!(server.count("zk_global_sessions"), 0);
}

async fn a_thousand_waiters_are_one_node_and_one_watch(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let guard = quiet_client(&server).await.lock("/pair").acquire().await.unwrap();
    let waiters = (0..1000).map(|_| {
        let waiting = locks.lock("/pair").acquire();
        tokio::spawn(async move { waiting.await.unwrap().release().await.unwrap() })
    });
    let waiters: Vec<_> = waiters.collect();
    eventually(async || match (server.left("/pair").len(), server.count("zk_watch_count")) {
        (2, 1) => Ok(()),
        seen => Err(seen),
    })
    .await;
    assert_eq!(server.count("zk_global_sessions"), 2);
    guard.release().await.unwrap();
    for waiter in waiters {
        in_time(waiter).await.unwrap();
    }
    assert_eq!(server.left("/pair"), [""; 0]);
}

/// Each waiter watches the one before it: a release notifies the next one only, which lists the queue again.
async fn a_release_wakes_one(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let guard = locks.lock("/pair").acquire().await.unwrap();
    let mut waiters = Vec::new();
    for number in 1..=10 {
        let other = quiet_client(&server).await;
        waiters.push(tokio::spawn(async move { other.lock("/pair").acquire().await }));
        eventually(async || match server.count("zk_watch_count") {
            seen if seen == number => Ok(()),
            seen => Err(seen),
        })
        .await;
    }
    let before = server.cost();
    guard.release().await.unwrap();
    let first = granted(waiters.remove(0)).await;
    let sent = server.cost_since(&before);
    println!("a hand-off among ten waiters: {sent:?}");
    // To delete, and to list; of the pings that are due every few minutes each client may send one.
    assert!((2..=8).contains(&sent["requests"]) && sent["transactions"] == 1, "{sent:?}");
    assert_eq!(server.count("zk_watch_count"), 9);
    waiters.iter().for_each(tokio::task::JoinHandle::abort);
    first.release().await.unwrap();
}

/// Many readers wait for one writer: each is woken when it leaves, looks once, and holds.
async fn a_writer_wakes_each_reader_once(fixture: Fixture) {
    const READERS: u64 = 20;
    let (server, locks) = quiet(&fixture).await;
    let writer = locks.lock("/pair").acquire().await.unwrap();
    let mut readers = Vec::new();
    for number in 1..=READERS {
        let other = quiet_client(&server).await;
        readers.push(tokio::spawn(async move { other.lock("/pair").mode(Mode::Shared).acquire().await }));
        watches(&server, number).await;
    }
    let before = server.cost();
    writer.release().await.unwrap();
    let mut guards = Vec::new();
    for reader in readers {
        guards.push(granted(reader).await);
    }
    let sent = server.cost_since(&before);
    println!("a hand-off to {READERS} readers: {sent:?}");
    // To delete, and to list. Of the pings that are due every few minutes some clients may send one.
    assert!((1 + READERS..=READERS * 3 / 2).contains(&sent["requests"]) && sent["transactions"] == 1, "{sent:?}");
    assert_eq!(server.count("zk_watch_count"), 0);
    // A writer waits for one of them after the other, and they for nobody.
    let waiting = tokio::spawn(locks.lock("/pair").acquire());
    watches(&server, 1).await;
    for guard in guards {
        guard.release().await.unwrap();
    }
    granted(waiting).await.release().await.unwrap();
}

/// Whoever waits for a permit watches as many entries ahead as there are permits, the nearest: so a permit that comes back wakes
/// no more waiters than that, and always the one that it is for.
async fn a_permit_wakes_whom_it_is_for(fixture: Fixture) {
    const PERMIT: Mode = Mode::Permits(2);
    let (server, locks) = quiet(&fixture).await;
    let first = locks.lock("/pair").mode(PERMIT).acquire().await.unwrap();
    let second = quiet_client(&server).await.lock("/pair").mode(PERMIT).acquire().await.unwrap();
    let mut waiters = Vec::new();
    for number in 1..=5 {
        let other = quiet_client(&server).await;
        waiters.push(tokio::spawn(async move { other.lock("/pair").mode(PERMIT).acquire().await }));
        watches(&server, 2 * number).await;
    }
    let before = server.cost();
    first.release().await.unwrap();
    let third = granted(waiters.remove(0)).await;
    watches(&server, 8).await;
    let sent = server.cost_since(&before);
    println!("a permit that comes back, and five wait: {sent:?}");
    // To delete; to list, and to watch the other one no more.
    assert!((3..=8).contains(&sent["requests"]) && sent["transactions"] == 1, "{sent:?}");
    // In whatever order they come back.
    for gone in [third, second] {
        gone.release().await.unwrap();
        granted(waiters.remove(0)).await.release().await.unwrap();
    }
    for waiter in waiters {
        granted(waiter).await.release().await.unwrap();
    }
    assert_eq!(server.left("/pair"), [""; 0]);
}

/// Where a waiter would have to watch many entries, it watches the queue.
async fn a_waiter_for_one_of_many_permits_has_one_watch(fixture: Fixture) {
    const PERMIT: Mode = Mode::Permits(50);
    let (server, locks) = quiet(&fixture).await;
    let mut guards = Vec::new();
    for _ in 0..50 {
        guards.push(locks.lock("/pair").mode(PERMIT).acquire().await.unwrap());
    }
    let mut waiters = Vec::new();
    for number in 1..=3 {
        let other = quiet_client(&server).await;
        waiters.push(tokio::spawn(async move { other.lock("/pair").mode(PERMIT).acquire().await }));
        watches(&server, number).await;
    }
    for waiter in waiters {
        assert!(!waiter.is_finished());
        // Somewhere in the middle.
        guards.remove(20).release().await.unwrap();
        guards.push(granted(waiter).await);
    }
    watches(&server, 0).await;
    for guard in guards {
        guard.check().unwrap();
        guard.release().await.unwrap();
    }
    assert_eq!(server.left("/pair"), [""; 0]);
}

async fn watches(server: &ZooKeeper, wanted: u64) {
    eventually(async || match server.count("zk_watch_count") {
        seen if seen == wanted => Ok(()),
        seen => Err(seen),
    })
    .await;
}

/// Many jobs with `hold_at_least` would else be more connections than a server allows one host.
async fn a_lapsing_lock_has_no_connection(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url_with("ttl=60s"));
    let plain = locks.lock("/plain").acquire().await.unwrap();
    let connections = server.count("zk_num_alive_connections");
    for number in 0..5 {
        let lock = locks.lock(format!("/job/{number}")).hold_at_least(Duration::from_secs(40));
        lock.acquire().await.unwrap().release().await.unwrap();
    }
    eventually(async || match server.count("zk_num_alive_connections") {
        seen if seen == connections => Ok(()),
        seen => Err((seen, connections)),
    })
    .await;
    assert_eq!(server.left("/job").len(), 5);
    plain.release().await.unwrap();
}

/// They have a session each already: the close moves none of them to another one.
async fn a_close_costs_the_same_after_locks_that_lapse(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let plain = quiet_client(&server).await;
    for number in 0..3 {
        let lock = locks.lock(format!("/lapses/{number}")).hold_at_least(Duration::from_secs(30));
        lock.acquire().await.unwrap().release().await.unwrap();
    }
    for client in [plain, locks] {
        let before = server.cost();
        client.close().await;
        assert_eq!(server.cost_since(&before), pair(1), "the end of the session, and nothing else");
    }
    assert_eq!(server.left("/lapses").len(), 3);
}

/// The nodes that the paths of locks are made of: containers, which the server looks for every minute by itself.
async fn what_stays_behind_is_removed_by_the_server(fixture: Fixture) {
    let server = fixture.start(&Setup { containers: Some(Duration::from_millis(300)), ..Setup::default() });
    let (locks, before) = (connect(&server.url()), server.count("zk_znode_count"));
    for key in ["/order/1", "/order/2/part/3", "relative/key", "/"] {
        locks.lock(key).acquire().await.unwrap().release().await.unwrap();
        assert!(server.count("zk_znode_count") > before);
    }
    eventually(async || match server.count("zk_znode_count") {
        seen if seen == before => Ok(()),
        seen => Err((seen, before)),
    })
    .await;
    locks.lock("/order/1").acquire().await.unwrap().release().await.unwrap();
}
