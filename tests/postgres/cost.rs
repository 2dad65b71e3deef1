//! What a lock costs, by the server's own count.

use crate::{Case, Fixture};
use distributed_locks::{Guard, Lock, Locks};
use std::time::{Duration, Instant};
use support::postgres::{Postgres, Setup};
use support::scenarios::cost::{self, RENEWED, RENEWED_URL, acquire_many, at_most, cost, quiet_client};
use support::scenarios::{acquire_and_release, connect, granted, many};
use support::{Server, cases, eventually, in_time};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        uncontended_pair_is_two_statements_and_two_round_trips,
        a_busy_try_is_one_statement_and_leaves_nothing,
        a_last_look_is_one_statement,
        a_hand_over_is_two_statements,
        work_that_is_done_once_is_five_statements_and_then_one,
        locks_that_are_wanted_at_one_moment_share_statements,
        what_is_asked_for_again_is_not_planned_again;
        slow:
        a_thousand_holds_are_one_statement_each_third,
        a_thousand_waiters_are_one_connection_and_no_statements,
    ]
}

/// A server of its own, so that no other client's statements count, and a client whose connections and session are there.
pub(crate) async fn quiet(fixture: &Fixture) -> (Postgres, Locks) {
    let server = fixture.start(&Setup::default());
    let locks = another(&server).await;
    (server, locks)
}

/// Another client of a [`quiet`] server.
pub(crate) async fn another(server: &Postgres) -> Locks {
    let probes = || server.statements_with("SELECT pg_notify($1, $2)");
    let before = probes();
    let locks = quiet_client(server).await;
    // The last statement of a new client: a notification to itself, to see whether it receives any.
    eventually(async || if probes() > before { Ok(()) } else { Err("no probe") }).await;
    locks
}

/// One statement acquires this and one releases it; in between `is_held` looks at it.
pub(crate) async fn is_two_statements(server: &Postgres, wanted: Lock, is_held: impl FnOnce()) {
    let one = cost([("statements", 1)]);
    let before = server.cost();
    let guard = in_time(wanted.acquire()).await.unwrap();
    assert_eq!(server.cost_since(&before), one, "to acquire");
    is_held();
    let before = server.cost();
    guard.release().await.unwrap();
    assert_eq!(server.cost_since(&before), one, "to release");
}

fn connections(server: &Postgres) -> String {
    server.psql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'")
}

async fn uncontended_pair_is_two_statements_and_two_round_trips(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let one = cost([("statements", 1)]);
    cost::an_uncontended_pair_costs(&server, &locks, &one, &one).await;
    assert_eq!(connections(&server), "2");
    cost::an_uncontended_pair_is_two_round_trips(&server).await;
}

async fn a_busy_try_is_one_statement_and_leaves_nothing(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let other = another(&server).await;
    cost::a_busy_try_costs(&server, &locks, &other, &cost([("statements", 1)])).await;
    assert_eq!(server.left("/pair"), [""; 0]);
}

async fn work_that_is_done_once_is_five_statements_and_then_one(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let [five, one] = [5, 1].map(|count| cost([("statements", count)]));
    cost::work_that_is_done_once_costs(&server, &locks, &five, &one, &one).await;
}

async fn a_hand_over_is_two_statements(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let (taker, one) = (another(&server).await, cost([("statements", 1)]));
    cost::a_hand_over_costs(&server, &locks, &taker, &one, &one).await;
}

async fn a_last_look_is_one_statement(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let one = cost([("statements", 1)]);
    cost::a_last_look_costs(&server, &locks, &one, &one).await;
}

async fn locks_that_are_wanted_at_one_moment_share_statements(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    many::those_of_one_moment_share_requests(&server, &locks).await;
}

/// To plan a statement costs the server more than to carry it out.
async fn what_is_asked_for_again_is_not_planned_again(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    server.psql("ALTER SYSTEM SET pg_stat_statements.track_planning = on");
    server.psql("SELECT pg_reload_conf()");
    let locks = connect(&server.url());
    for _ in 0..50 {
        acquire_and_release(&locks, "k").await;
    }
    let sum = |what: &str| -> u64 {
        let some = "FROM pg_stat_statements WHERE userid = 'app'::regrole AND query LIKE '%distributed_locks%'";
        server.psql(&format!("SELECT coalesce(sum({what}), 0) {some} AND calls >= 50")).parse().unwrap()
    };
    let (calls, plans) = (sum("calls"), sum("plans"));
    assert!(calls >= 100, "{calls} calls");
    // The text is sent until it is prepared, which nobody waits for.
    assert!(plans <= calls / 4, "{plans} plans for {calls} calls");
}

async fn a_thousand_holds_are_one_statement_each_third(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url_with(RENEWED_URL));
    let guards = acquire_many(&locks, 1000).await;
    let wal = || -> u64 {
        let bytes = "SELECT sum(wal_bytes)::bigint FROM pg_stat_statements WHERE userid = 'app'::regrole";
        server.psql(bytes).parse().unwrap()
    };
    let written = wal();
    let renewals = cost::one_renewal_for_each_third(|| server.statements()).await;
    println!("a renewal of 1,000 holds writes {} bytes of WAL", (wal() - written) / renewals);
    assert!(guards.iter().all(Guard::is_held));
    assert_eq!(connections(&server), "2");
    let hot = "SELECT n_tup_upd > 3000 AND n_tup_hot_upd * 10 >= n_tup_upd * 9 FROM pg_stat_user_tables \
               WHERE relname = 'distributed_locks'";
    eventually(async || match server.psql(hot).as_str() {
        "t" => Ok(()),
        _ => Err(server.psql("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables")),
    })
    .await;
    let (begun, before) = (Instant::now(), server.statements());
    locks.close().await;
    let sent = server.statements() - before;
    // A renewal may have been due as well.
    let renewals = at_most(begun.elapsed(), RENEWED * 3 / 10);
    assert!((1..=1 + renewals).contains(&sent), "{sent} statements to release all of them");
    assert_eq!(server.left("/many/"), [""; 0]);
}

async fn a_thousand_waiters_are_one_connection_and_no_statements(fixture: Fixture) {
    let (server, holder) = quiet(&fixture).await;
    let waiters = another(&server).await;
    let guards = acquire_many(&holder, 1000).await;
    let (begun, before) = (Instant::now(), server.statements());
    // Each waiter looks after a minute at the earliest, whatever it has been notified of.
    let looks = || 1000 * (begun.elapsed().as_secs() / 60);
    let waiting = (0..1000).map(|number| tokio::spawn(waiters.lock(format!("/many/{number}")).acquire()));
    let waiting: Vec<_> = waiting.collect();
    eventually(async || match server.waiters("/many/") {
        1000 => Ok(()),
        waiting => Err(waiting),
    })
    .await;
    assert_eq!(connections(&server), "4", "two for each process");
    // For what must not happen: further statements.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sent = server.statements() - before;
    // To find the locks taken, many at once, and to enter each queue.
    assert!((1000..=1500 + looks()).contains(&sent), "{sent} statements, and not one for each and a few");
    for guard in guards {
        guard.release().await.unwrap();
    }
    for waiter in waiting {
        // It is released by its drop.
        assert!(granted(waiter).await.is_held());
    }
    // For each besides: to release it once without a queue and once with one, to look whether a notification is true, which
    // anybody can send, and to release it by the waiter.
    let sent = eventually(async || match server.statements() - before {
        sent @ 5000.. => Ok(sent),
        sent => Err(sent),
    })
    .await;
    assert!(sent <= 5500 + looks(), "{sent} statements, and not five for each and a few");
}
