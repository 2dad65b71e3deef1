//! What others do in the same database: they sit on rows, and have defaults of their own.

use crate::peers::create_shedlocks_table;
use crate::{Case, Fixture};
use distributed_locks::{ErrorKind, Guard, Locks};
use std::time::{Duration, Instant};
use support::mysql::{Mysql, OpenTransaction, Setup};
use support::scenarios::{acquire_and_release, chain, connect, granted, nothing_is_left};
use support::{HANG_LIMIT, Server, cases, in_time, once_within};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_row_that_somebody_sits_on_loses_its_own_lock_only,
        a_row_of_shedlocks_that_somebody_sits_on_loses_its_own_lock_only,
        a_row_that_is_let_go_in_time_loses_nothing,
        a_blocked_lock_says_by_what_and_is_acquired_when_it_can_be,
        a_blocked_release_is_repeated,
        a_thousand_rows_that_somebody_sits_on_do_not_stop_the_others,
        deadlocks_with_others_are_retried,
        a_name_that_somebody_is_about_to_insert_stops_nobody_else,
    ]
}

const TTL: Duration = Duration::from_secs(9);

/// Of a server's own tables, so that a case may sit on any row.
async fn holding(server: &Mysql, parameters: &str, keys: &[&str]) -> (Locks, Vec<Guard>) {
    let locks = Locks::connect(server.url_with(&format!("{parameters}&ttl=9s&connect_timeout=60s"))).unwrap();
    let mut guards = Vec::new();
    for key in keys {
        guards.push(locks.lock(*key).acquire().await.unwrap());
    }
    (locks, guards)
}

fn sit_on(server: &Mysql, table: &str, key: &str) -> OpenTransaction {
    server.begin(&format!("SELECT name FROM {table} WHERE name = '{key}' FOR UPDATE"))
}

async fn a_row_that_somebody_sits_on_loses_its_own_lock_only(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    one_row_is_lost(&server, "table=distributed_locks", "distributed_locks").await;
}

async fn a_row_of_shedlocks_that_somebody_sits_on_loses_its_own_lock_only(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    create_shedlocks_table(&server);
    one_row_is_lost(&server, "table=shedlock", "shedlock").await;
}

async fn one_row_is_lost(server: &Mysql, parameters: &str, table: &str) {
    let (locks, mut guards) = holding(server, parameters, &["a", "b", "c", "free"]).await;
    guards.pop().unwrap().release().await.unwrap();
    let sitting = sit_on(server, table, "a");
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
    tokio::time::sleep(TTL / 3 + TTL / 6).await;
    drop(sitting);
    // For longer than their TTL.
    tokio::time::sleep(TTL).await;
    for guard in &guards {
        guard.check().unwrap();
    }
}

async fn a_blocked_lock_says_by_what_and_is_acquired_when_it_can_be(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url_with("connect_timeout=30s"));
    acquire_and_release(&locks, "k").await;
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

/// Sits on all of many rows, and asks for some of them: what is free is not stopped.
async fn a_thousand_rows_that_somebody_sits_on_do_not_stop_the_others(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url());
    acquire_and_release(&locks, "free").await;
    server.sql(
        "INSERT INTO distributed_locks (name, version, fence, locked_until, queue) \
         SELECT CONCAT('many/', seq), 1, 1, 0, '' FROM seq_1_to_1000",
    );
    let sitting = server.begin("SELECT name FROM distributed_locks WHERE name LIKE 'many/%' FOR UPDATE");
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
    let end = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (first, second) in [("a", "b"), ("b", "a")] {
            let (server, end, touch) = (&server, &end, touch(first, second));
            scope.spawn(move || {
                while !end.load(std::sync::atomic::Ordering::Acquire) {
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
        end.store(true, std::sync::atomic::Ordering::Release);
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
    let error = support::scenarios::chain(&error);
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
