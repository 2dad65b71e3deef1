//! What a lock costs, by the server's own count.

use crate::{Case, Fixture};
use distributed_locks::Guard;
use std::time::{Duration, Instant};
use support::mysql::Setup;
use support::scenarios::cost::{self, RARE, RENEWED, RENEWED_URL, acquire_many, at_most, cost, quiet};
use support::scenarios::{acquire_and_release, connect, granted, many};
use support::{Server, cases, eventually};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        uncontended_pair_is_two_statements_and_two_round_trips,
        the_first_use_of_a_key_is_two_statements_more,
        a_busy_try_is_two_statements_and_leaves_nothing,
        a_last_look_is_one_statement,
        a_hand_over_is_four_statements,
        work_that_is_done_once_is_six_statements_and_then_one,
        locks_that_are_wanted_at_one_moment_share_statements;
        slow:
        a_thousand_holds_are_one_statement_each_third,
        a_thousand_waiters_are_ten_statements_a_second,
        a_thousand_waiters_of_one_lock_are_one_in_the_table,
    ]
}

async fn uncontended_pair_is_two_statements_and_two_round_trips(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let one = cost([("statements", 1)]);
    cost::an_uncontended_pair_costs(&server, &locks, &one, &one).await;
    assert!(server.connections() <= 2, "{} connections", server.connections());
    cost::an_uncontended_pair_is_two_round_trips(&server).await;
}

/// It finds no row, looks whether there is none, and inserts it.
async fn the_first_use_of_a_key_is_two_statements_more(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let before = server.cost();
    let guard = locks.lock("/new").acquire().await.unwrap();
    assert_eq!(server.cost_since(&before), cost([("statements", 3)]));
    guard.release().await.unwrap();
    assert_eq!(server.cost_since(&before), cost([("statements", 4)]));
}

/// The second shows who holds it.
async fn a_busy_try_is_two_statements_and_leaves_nothing(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let other = cost::quiet_client(&server).await;
    acquire_and_release(&locks, "/pair").await;
    cost::a_busy_try_costs(&server, &locks, &other, &cost([("statements", 2)])).await;
    assert_eq!(server.left("/pair"), [""; 0]);
}

async fn a_last_look_is_one_statement(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let one = cost([("statements", 1)]);
    cost::a_last_look_costs(&server, &locks, &one, &one).await;
}

/// Each reads the row, and writes it.
async fn a_hand_over_is_four_statements(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let (taker, two) = (cost::quiet_client(&server).await, cost([("statements", 2)]));
    cost::a_hand_over_costs(&server, &locks, &taker, &two, &two).await;
}

async fn work_that_is_done_once_is_six_statements_and_then_one(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let [work, one, forget] = [6, 1, 2].map(|count| cost([("statements", count)]));
    cost::work_that_is_done_once_costs(&server, &locks, &work, &one, &forget).await;
}

async fn locks_that_are_wanted_at_one_moment_share_statements(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    many::those_of_one_moment_share_requests(&server, &locks).await;
}

async fn a_thousand_holds_are_one_statement_each_third(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url_with(RENEWED_URL));
    let guards = acquire_many(&locks, 1000).await;
    let renewals = cost::one_renewal_for_each_third(|| server.statements()).await;
    println!("{renewals} statements renewed 1,000 holds three times");
    assert!(guards.iter().all(Guard::is_held));
    assert!(server.connections() <= 2, "{} connections", server.connections());
    let (begun, before) = (Instant::now(), server.statements());
    locks.close().await;
    let sent = server.statements() - before;
    // Read, written 128 at a time, and looked at once more. A renewal may have been due as well.
    let renewals = at_most(begun.elapsed(), RENEWED * 3 / 10);
    assert!((1..=10 + renewals).contains(&sent), "{sent} statements to release all of them");
    assert_eq!(server.left("/many/"), [""; 0]);
}

async fn a_thousand_waiters_are_ten_statements_a_second(fixture: Fixture) {
    let (server, holder) = quiet(&fixture).await;
    // Renewed as often as is usual: what that costs is part of it.
    let waiters = connect(&server.url_with("ttl=10s&connect_timeout=60s"));
    acquire_and_release(&waiters, "/warm").await;
    let guards = acquire_many(&holder, 1000).await;
    let waiting = (0..1000).map(|number| tokio::spawn(waiters.lock(format!("/many/{number}")).acquire()));
    let waiting: Vec<_> = waiting.collect();
    eventually(async || match server.waiters("/many/") {
        1000 => Ok(()),
        waiting => Err(waiting),
    })
    .await;
    let (begun, before) = (Instant::now(), server.statements());
    tokio::time::sleep(Duration::from_secs(15)).await;
    let (sent, during) = (server.statements() - before, begun.elapsed());
    println!("1,000 waiters: {sent} statements in {during:?}");
    let a_second = sent as f64 / during.as_secs_f64();
    assert!(a_second <= 10.0, "{a_second} statements a second, for 1,000 waiters");
    assert!(a_second >= 1.0, "nobody looks");
    assert!(server.connections() <= 8, "{} connections", server.connections());
    for guard in guards {
        guard.release().await.unwrap();
    }
    for waiter in waiting {
        // It is released by its drop.
        granted(waiter).await.check().unwrap();
    }
}

/// The others wait in their process, where the lock goes from one to the next.
async fn a_thousand_waiters_of_one_lock_are_one_in_the_table(fixture: Fixture) {
    let (server, holder) = quiet(&fixture).await;
    let waiters = connect(&server.url_with(RARE));
    acquire_and_release(&waiters, "/warm").await;
    let guard = holder.lock("/one").acquire().await.unwrap();
    let waiting = (0..1000).map(|_| {
        let acquiring = waiters.lock("/one").acquire();
        tokio::spawn(async move { acquiring.await?.release().await })
    });
    let waiting: Vec<_> = waiting.collect();
    eventually(async || if server.waiters("/one") == 1 { Ok(()) } else { Err(server.waiters("/one")) }).await;
    let (begun, before) = (Instant::now(), server.statements());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (sent, during) = (server.statements() - before, begun.elapsed());
    assert!(sent as f64 / during.as_secs_f64() <= 10.0, "{sent} statements in {during:?}");
    assert_eq!(server.waiters("/one"), 1);
    guard.release().await.unwrap();
    for waiter in waiting {
        waiter.await.unwrap().unwrap();
    }
}
