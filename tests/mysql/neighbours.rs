//! What others do in the same database: they sit on rows, and are about to insert some.

use crate::{Case, Fixture};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::mysql::Setup;
use support::scenarios::sql::neighbours;
use support::scenarios::{acquire_and_release, chain, connect, granted, nothing_is_left};
use support::{HANG_LIMIT, cases, in_time, once_within};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        neighbours::a_row_that_somebody_sits_on_loses_its_own_lock_only,
        neighbours::a_row_of_shedlocks_that_somebody_sits_on_loses_its_own_lock_only,
        neighbours::a_row_that_is_let_go_in_time_loses_nothing,
        neighbours::a_blocked_release_is_repeated,
        neighbours::of_several_locks_one_that_somebody_sits_on_keeps_nobody_from_the_others,
        neighbours::a_thousand_rows_that_somebody_sits_on_do_not_stop_the_others,
        a_blocked_lock_says_by_what_and_is_acquired_when_it_can_be,
        deadlocks_with_others_are_retried,
        a_name_that_somebody_is_about_to_insert_stops_nobody_else,
    ]
}

async fn a_blocked_lock_says_by_what_and_is_acquired_when_it_can_be(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url_with("connect_timeout=30s"));
    acquire_and_release(&locks, "k").await;
    neighbours::a_blocked_lock_says_by_what_and_is_acquired_when_it_can_be(&server, &locks).await;
}

/// Somebody's transactions lock the rows of two locks in either order, again and again.
async fn deadlocks_with_others_are_retried(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url_with("connect_timeout=30s"));
    for key in ["a", "b"] {
        acquire_and_release(&locks, key).await;
    }
    let touch = |first: &str, second: &str| {
        format!(
            "BEGIN; UPDATE distributed_locks SET version = version + 1 WHERE name = '{first}'; SELECT SLEEP(0.005); \
             UPDATE distributed_locks SET version = version + 1 WHERE name = '{second}'; COMMIT;"
        )
    };
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (first, second) in [("a", "b"), ("b", "a")] {
            let (server, ended, touch) = (&server, &ended, touch(first, second));
            scope.spawn(move || {
                while !ended.load(Ordering::Acquire) {
                    // One of them fails now and then by a deadlock, which is theirs.
                    drop(server.sql_as("admin", &touch.repeat(10)));
                }
            });
        }
        let acquired = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                for _ in 0..40 {
                    let guard = locks.lock_all(["b", "a"]).wait(HANG_LIMIT).acquire().await?;
                    guard.release().await?;
                }
                Ok::<_, distributed_locks::Error>(())
            })
        });
        ended.store(true, Ordering::Release);
        acquired.unwrap();
    });
    nothing_is_left(&server, "").await;
}

async fn a_name_that_somebody_is_about_to_insert_stops_nobody_else(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url());
    acquire_and_release(&locks, "free").await;
    let inserting = server
        .begin("INSERT INTO distributed_locks (name, version, fence, locked_until, queue) VALUES ('new', 1, 1, 0, '')");
    let before = server.statements();
    let error = in_time(locks.lock("new").wait(Duration::ZERO).acquire()).await.unwrap_err();
    let error = chain(&error);
    assert!(error.contains("another transaction"), "{error}");
    assert!(server.statements() - before < 300, "{} statements", server.statements() - before);
    let blocked = tokio::spawn(locks.lock("new").wait(HANG_LIMIT).acquire());
    once_within(Duration::from_millis(900), async || {
        let asked = Instant::now();
        acquire_and_release(&locks, "free").await;
        asked.elapsed()
    })
    .await;
    assert!(!blocked.is_finished());
    drop(inserting);
    granted(blocked).await.release().await.unwrap();
}
