//! What others do in the same database: they sit on rows, send notifications, and have schemas and defaults of their own.

use crate::{Case, Fixture};
use distributed_locks::{ErrorKind, Locks};
use std::time::{Duration, Instant};
use support::postgres::{Postgres, Setup};
use support::scenarios::sql::neighbours;
use support::scenarios::{acquire_and_release, connect, granted, queued};
use support::{cases, in_time};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        neighbours::a_row_that_somebody_sits_on_loses_its_own_lock_only,
        neighbours::a_row_of_shedlocks_that_somebody_sits_on_loses_its_own_lock_only,
        neighbours::a_row_that_is_let_go_in_time_loses_nothing,
        neighbours::a_blocked_release_is_repeated,
        neighbours::of_several_locks_one_that_somebody_sits_on_keeps_nobody_from_the_others,
        neighbours::a_thousand_rows_that_somebody_sits_on_do_not_stop_the_others,
        a_blocked_lock_says_by_what_and_is_acquired_when_it_can_be,
        a_forged_turn_is_not_believed,
        a_forged_loss_is_not_believed,
        a_flood_of_notifications_is_not_a_flood_of_statements,
    ]
}

async fn a_blocked_lock_says_by_what_and_is_acquired_when_it_can_be(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    // Of which a third is for one answer: on a busy machine it may be late.
    let locks = connect(&server.url_with("connect_timeout=30s"));
    acquire_and_release(&locks, "k").await;
    let releases = || server.statements_with("left_it AS") + server.statements_with("AS l SET session = ");
    let before = releases();
    neighbours::a_blocked_lock_says_by_what_and_is_acquired_when_it_can_be(&server, &locks).await;
    // What was refused left nothing to be withdrawn. For what must not happen: each would be, within two seconds.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(releases() - before, 1);
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
