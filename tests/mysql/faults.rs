//! What goes wrong while a lock is wanted, held or released.

use crate::{Case, Fixture};
use distributed_locks::ErrorKind;
use std::time::{Duration, Instant};
use support::mysql::Setup;
use support::proxy::{Mode, Proxy};
use support::scenarios::sql::faults;
use support::scenarios::{acquire_and_release, chain, connect, granted, held, lost, nothing_is_left, queued};
use support::{HANG_LIMIT, Server, cases, eventually, in_time, once_within};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_late_request_is_withdrawn,
        faults::a_lost_table_stops_the_body_and_fences_go_on,
        killed_connections_lose_nothing,
        connections_that_were_idle_for_too_long_lose_nothing,
        a_waiter_finds_its_turn_soon,
        a_waiter_behind_a_dead_holder_has_the_lock_after_its_ttl,
        rights_that_are_taken_away_stop_the_body,
        autocommit_may_be_off_by_default,
        a_session_without_autocommit_is_refused,
        many_processes_on_one_lock_exclude_each_other,
    ]
}

/// Each lock has its row: the first request acquires only what has one.
async fn a_late_request_is_withdrawn(fixture: Fixture) {
    let (server, key) = (fixture.server(), fixture.key("k"));
    let known: Vec<String> = (0..5).map(|number| format!("{key}/{number}")).collect();
    faults::late_requests_are_withdrawn(&*server, &key, &known).await;
}

async fn killed_connections_lose_nothing(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    // A waiter looks several times a second.
    faults::ended_connections_lose_nothing(&server, Duration::from_secs(5)).await;
}

/// `wait_timeout` is eight hours by default, and often less.
async fn connections_that_were_idle_for_too_long_lose_nothing(fixture: Fixture) {
    let server = fixture.start(&Setup { settings: &["--wait-timeout=1"], ..Setup::default() });
    // No renewal keeps them in use.
    let locks = connect(&server.url_with("ttl=600s"));
    let guard = locks.lock("k").acquire().await.unwrap();
    eventually(async || if server.connections() == 0 { Ok(()) } else { Err(server.connections()) }).await;
    let another = locks.lock("other").wait(Duration::ZERO).acquire().await.unwrap();
    guard.check().unwrap();
    for guard in [guard, another] {
        guard.release().await.unwrap();
    }
    nothing_is_left(&server, "").await;
}

async fn a_waiter_finds_its_turn_soon(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let (ours, theirs) = (connect(&server.url()), connect(&server.url()));
    once_within(Duration::from_millis(600), async || {
        let guard = ours.lock("k").acquire().await.unwrap();
        let waiting = tokio::spawn(theirs.lock("k").acquire());
        queued(&ours, "k", 1).await;
        let released = Instant::now();
        guard.release().await.unwrap();
        granted(waiting).await.release().await.unwrap();
        released.elapsed()
    })
    .await;
}

async fn a_waiter_behind_a_dead_holder_has_the_lock_after_its_ttl(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let proxy = Proxy::to(server.address());
    let dies = connect(&format!("{}&ttl=3s", server.url_at(&proxy.addr().to_string())));
    let guard = dies.lock("k").acquire().await.unwrap();
    let lives: Vec<_> = (0..3).map(|_| connect(&server.url())).collect();
    let mut waiting = Vec::new();
    for locks in &lives {
        waiting.push(tokio::spawn(locks.lock("k").acquire()));
        queued(locks, "k", waiting.len()).await;
    }
    proxy.set(Mode::Silent);
    let silent = Instant::now();
    let mut fences = vec![guard.fence()];
    for waiting in waiting {
        let next = granted(waiting).await;
        fences.push(next.fence());
        next.release().await.unwrap();
    }
    assert!(silent.elapsed() < Duration::from_secs(60), "{:?}", silent.elapsed());
    assert_eq!(in_time(guard.lost()).await.kind(), ErrorKind::Lost);
    fences.sort();
    fences.dedup();
    assert_eq!(fences.len(), 4, "each has a fence of its own");
}

async fn rights_that_are_taken_away_stop_the_body(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url());
    let body = held(&locks, "k", 3).await;
    // Of connections that are open, too.
    server.sql("REVOKE ALL ON locks.* FROM app@'%'; GRANT SELECT ON locks.* TO app@'%'");
    server.end_connections();
    let error = lost(body).await;
    assert!(chain(&error).contains("UPDATE") || chain(&error).contains("denied"), "{}", chain(&error));
    server.sql("GRANT ALL ON locks.* TO app@'%'");
    acquire_and_release(&connect(&server.url()), "k").await;
}

/// Each connection sets it.
async fn autocommit_may_be_off_by_default(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    server.sql("SET GLOBAL autocommit = 0");
    acquire_and_release(&connect(&server.url()), "k").await;
    server.sql("SET GLOBAL init_connect = 'SET autocommit = 0'");
    acquire_and_release(&connect(&server.url()), "k").await;
    assert_eq!(server.left(""), [""; 0]);
}

/// As behind a proxy that does not keep what its clients set: no statement would be committed.
async fn a_session_without_autocommit_is_refused(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    acquire_and_release(&connect(&server.url()), "k").await;
    let proxy = Proxy::to(server.address());
    proxy.set(Mode::Replace("autocommit = 1", "autocommit = 0"));
    let locks = connect(&format!("{}&connect_timeout=600s", server.url_at(&proxy.addr().to_string())));
    let error = in_time(locks.lock("k").acquire()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
    assert!(chain(&error).contains("autocommit"), "{}", chain(&error));
    // No transaction stays open, in which a row would be locked.
    acquire_and_release(&connect(&server.url()), "k").await;
    assert_eq!(server.left(""), [""; 0]);
}

async fn many_processes_on_one_lock_exclude_each_other(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let inside = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let tasks: Vec<_> = (0..12)
        .map(|_| {
            let (locks, inside) = (connect(&server.url()), inside.clone());
            tokio::spawn(async move {
                let mut fences = Vec::new();
                for _ in 0..8 {
                    let guard = locks.lock("k").wait(HANG_LIMIT).acquire().await.unwrap();
                    assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0, "two hold it");
                    fences.push(guard.fence());
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    guard.release().await.unwrap();
                }
                fences
            })
        })
        .collect();
    let mut fences = Vec::new();
    for task in tasks {
        fences.extend(task.await.unwrap());
    }
    let count = fences.len();
    fences.sort();
    fences.dedup();
    assert_eq!(fences.len(), count, "two have one fence");
    nothing_is_left(&server, "k").await;
}
