//! What others do in the same database: they sit on rows, send notifications, and have schemas and defaults of their own.

use crate::cost::renewed;
use crate::{Case, Fixture};
use distributed_locks::{ErrorKind, Guard, Locks};
use std::time::{Duration, Instant};
use support::postgres::{Postgres, Setup};
use support::scenarios::sql::peers::ShedLocksDatabase;
use support::scenarios::{acquire_and_release, chain, connect, granted, nothing_is_left, queued};
use support::{HANG_LIMIT, OpenTransaction, Server, cases, in_time, once_within};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_row_that_somebody_sits_on_loses_its_own_lock_only,
        a_row_of_shedlocks_that_somebody_sits_on_loses_its_own_lock_only,
        a_row_that_is_let_go_in_time_loses_nothing,
        a_blocked_lock_says_by_what_and_is_acquired_when_it_can_be,
        a_blocked_release_is_repeated,
        a_forged_turn_is_not_believed,
        a_forged_loss_is_not_believed,
        a_flood_of_notifications_is_not_a_flood_of_statements,
        a_thousand_rows_that_somebody_sits_on_do_not_stop_the_others,
    ]
}

const TTL: Duration = Duration::from_secs(9);

/// Of a server's own tables, so that a case may sit on any row.
async fn holding(server: &Postgres, parameters: &str, keys: &[&str]) -> (Locks, Vec<Guard>) {
    let locks = Locks::connect(server.url_with(&format!("{parameters}&ttl=9s&connect_timeout=60s"))).unwrap();
    let mut guards = Vec::new();
    for key in keys {
        guards.push(locks.lock(*key).acquire().await.unwrap());
    }
    (locks, guards)
}

fn sit_on(server: &Postgres, table: &str, key: &str) -> OpenTransaction {
    server.begin(&format!("SELECT FROM {table} WHERE name = '{key}' FOR UPDATE"))
}

async fn a_row_that_somebody_sits_on_loses_its_own_lock_only(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    one_row_is_lost(&server, "table=distributed_locks", "distributed_locks").await;
}

async fn a_row_of_shedlocks_that_somebody_sits_on_loses_its_own_lock_only(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    server.create_shedlocks_table("shedlock");
    one_row_is_lost(&server, "table=shedlock", "shedlock").await;
}

async fn one_row_is_lost(server: &Postgres, parameters: &str, table: &str) {
    let (locks, mut guards) = holding(server, parameters, &["a", "b", "c", "free"]).await;
    guards.pop().unwrap().release().await.unwrap();
    let sitting = sit_on(server, table, "a");
    // Without the limit each would take what a request may take, which is seconds.
    once_within(Duration::from_millis(1500), async || {
        let asked = Instant::now();
        let guard = locks.lock("free").wait(HANG_LIMIT).acquire().await.unwrap();
        guard.release().await.unwrap();
        let guard = locks.lock("new").wait(HANG_LIMIT).acquire().await.unwrap();
        guard.release().await.unwrap();
        asked.elapsed()
    })
    .await;
    let error = in_time(guards[0].lost()).await;
    assert_eq!(error.kind(), ErrorKind::Lost);
    assert!(chain(&error).contains("another transaction"), "{}", chain(&error));
    // All but that one have been renewed, more than once.
    tokio::time::sleep(TTL).await;
    for guard in &guards[1..] {
        guard.check().unwrap();
    }
    drop(sitting);
    for guard in guards.drain(1..) {
        guard.release().await.unwrap();
    }
    drop(guards);
    let free = locks.lock("a").wait(HANG_LIMIT).acquire().await.unwrap();
    free.release().await.unwrap();
}

async fn a_row_that_is_let_go_in_time_loses_nothing(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let (_locks, guards) = holding(&server, "namespace=", &["a", "b"]).await;
    let sitting = sit_on(&server, "distributed_locks", "a");
    // At least one renewal has left it out, which asks for it again for a while.
    renewed(&server, 2).await;
    drop(sitting);
    // For longer than their TTL.
    tokio::time::sleep(TTL).await;
    for guard in &guards {
        guard.check().unwrap();
    }
}

async fn a_blocked_lock_says_by_what_and_is_acquired_when_it_can_be(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    // Of which a third is for one answer: on a busy machine it may be late.
    let locks = connect(&server.url_with("connect_timeout=30s"));
    acquire_and_release(&locks, "k").await;
    let releases = || server.statements_with("left_it AS") + server.statements_with("AS l SET session = ");
    let before = releases();
    let sitting = sit_on(&server, "distributed_locks", "k");
    let error = in_time(locks.lock("k").wait(Duration::ZERO).acquire()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    assert!(chain(&error).contains("another transaction"), "{}", chain(&error));
    let waiting = tokio::spawn(locks.lock("k").wait(HANG_LIMIT).acquire());
    // For what must not happen.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished());
    drop(sitting);
    granted(waiting).await.release().await.unwrap();
    nothing_is_left(&server, "k").await;
    // What was refused left nothing to be withdrawn. For what must not happen: each would be, within two seconds.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(releases() - before, 1);
}

async fn a_blocked_release_is_repeated(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let (locks, mut guards) = holding(&server, "namespace=", &["k", "other"]).await;
    let other = guards.pop().unwrap();
    let sitting = sit_on(&server, "distributed_locks", "k");
    drop(guards);
    // Meanwhile another is released, and an acquire of the blocked one leaves nothing behind.
    other.release().await.unwrap();
    assert_eq!(server.left("other"), [""; 0]);
    drop(tokio::time::timeout(Duration::from_millis(500), locks.lock("k").acquire()).await);
    drop(sitting);
    nothing_is_left(&server, "k").await;
}

/// Sits on all of many rows, and asks for as many: what is free is not stopped.
async fn a_thousand_rows_that_somebody_sits_on_do_not_stop_the_others(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url());
    acquire_and_release(&locks, "free").await;
    server.psql(
        "INSERT INTO distributed_locks (name, fence, locked_until) \
         SELECT 'many/' || n, 1, now() FROM generate_series(1, 1000) AS n",
    );
    let sitting = server
        .begin("SELECT count(*) FROM (SELECT FROM distributed_locks WHERE name <> 'free' FOR UPDATE) AS all_of_them");
    let blocked = (1..=30).map(|number| tokio::spawn(locks.lock(format!("many/{number}")).wait(HANG_LIMIT).acquire()));
    let blocked: Vec<_> = blocked.collect();
    once_within(Duration::from_millis(1500), async || {
        let asked = Instant::now();
        acquire_and_release(&locks, "free").await;
        asked.elapsed()
    })
    .await;
    drop(sitting);
    for blocked in blocked {
        granted(blocked).await.release().await.unwrap();
    }
}

/// A role that may do nothing but connect hears a session's name and makes up a turn for each of its entries.
async fn a_forged_turn_is_not_believed(fixture: Fixture) {
    let (server, ours, theirs) = contended(&fixture).await;
    let guard = ours.lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn(theirs.lock("k").acquire());
    queued(&ours, "k", 1).await;
    for (session, number) in waiters(&server, "k") {
        for fence in ["9223372036854775807", "9999999999999999", "0", "-1", "x"] {
            forge(&server, &format!("turn {session} {number} {fence}"));
        }
    }
    // For what must not happen. A forged grant is there at once.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished(), "it believes that it holds");
    let fence = guard.fence();
    guard.release().await.unwrap();
    let guard = granted(waiting).await;
    let next = guard.fence();
    let stored = server.psql("SELECT fence FROM distributed_locks WHERE name = 'k'");
    assert!(fence < next && format!("{next:?}").contains(&stored), "{fence:?}, {next:?}, {stored}");
    guard.release().await.unwrap();
}

async fn a_forged_loss_is_not_believed(fixture: Fixture) {
    let (server, ours, _) = contended(&fixture).await;
    let guard = ours.lock("k").ttl(Duration::from_secs(3)).acquire().await.unwrap();
    // An entry's removal is watched for once it has been renewed.
    for _ in 0..5 {
        let holder = server.psql("SELECT session || ' ' || number FROM distributed_locks WHERE name = 'k'");
        forge(&server, &format!("gone {holder}"));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    guard.check().unwrap();
    assert!(ours.force_release("k").await.unwrap());
    let error = in_time(guard.lost()).await;
    assert_eq!(error.kind(), ErrorKind::Lost);
}

/// Each asks for a look, and is wrong.
async fn a_flood_of_notifications_is_not_a_flood_of_statements(fixture: Fixture) {
    let (server, ours, theirs) = contended(&fixture).await;
    let guard = ours.lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn(theirs.lock("k").acquire());
    queued(&ours, "k", 1).await;
    let looks = || server.statements_with("AS place FROM");
    let (before, begun) = (looks(), Instant::now());
    let (session, number) = waiters(&server, "k").remove(0);
    let all = format!(
        "DO $$ BEGIN FOR n IN 1..300 LOOP PERFORM pg_notify('distributed_locks', 'turn {session} {number} ' || n); \
         PERFORM pg_notify('distributed_locks', 'wait {session} {number} 0'); \
         PERFORM pg_notify('distributed_locks', 'turn ' || repeat('x ', 3900) || n); COMMIT; END LOOP; END $$"
    );
    for _ in 0..10 {
        server.psql_as("poor", &all).unwrap();
    }
    let (sent, during) = (looks() - before, begun.elapsed());
    let most = 20 + 4 * during.as_secs();
    assert!(sent <= most, "{sent} looks within {during:?}, for thousands of notifications");
    guard.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
}

/// Two clients of a server on which the role `poor` may touch no lock.
async fn contended(fixture: &Fixture) -> (Postgres, Locks, Locks) {
    let server = fixture.start(&Setup::default());
    let (ours, theirs) = (connect(&server.url()), connect(&server.url()));
    acquire_and_release(&ours, "k").await;
    acquire_and_release(&theirs, "k").await;
    let refused = server.psql_as("poor", "SELECT FROM distributed_locks").unwrap_err();
    assert!(refused.contains("permission denied"), "{refused}");
    (server, ours, theirs)
}

fn waiters(server: &Postgres, key: &str) -> Vec<(String, String)> {
    let rows = server.psql(&format!(
        "SELECT w->>'s', w->>'n' FROM distributed_locks, jsonb_array_elements(queue) AS w WHERE name = '{key}'"
    ));
    let pair = |row: &str| row.split_once('|').map(|(session, number)| (session.to_owned(), number.to_owned()));
    rows.lines().map(|row| pair(row).unwrap()).collect()
}

fn forge(server: &Postgres, payload: &str) {
    server.psql_as("poor", &format!("NOTIFY distributed_locks, '{payload}'")).unwrap();
}
