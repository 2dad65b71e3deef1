//! What others do in the same database: they sit on rows.

#![expect(missing_docs, reason = "the name of a scenario is what it shows")]

use std::time::{Duration, Instant};

use distributed_locks::{ErrorKind, Guard, Locks};

use super::peers::ShedLocksDatabase;
use super::{Database, renewed};
use crate::cases::{Fixture, Program};
use crate::scenarios::{acquire_and_release, chain, connect, granted, nothing_is_left};
use crate::{HANG_LIMIT, OpenTransaction, Server, in_time, once_within};

const TTL: Duration = Duration::from_secs(9);

/// Of a server's own tables, so that a case may sit on any row.
async fn holding(server: &impl Database, parameters: &str, keys: &[&str]) -> (Locks, Vec<Guard>) {
    let locks = Locks::connect(server.url_with(&format!("{parameters}&ttl=9s&connect_timeout=60s"))).unwrap();
    let mut guards = Vec::new();
    for key in keys {
        guards.push(locks.lock(*key).acquire().await.unwrap());
    }
    (locks, guards)
}

/// A transaction that has locked the row of a lock.
pub fn sit_on(server: &impl Database, table: &str, key: &str) -> OpenTransaction {
    server.begin(&format!("SELECT name FROM {table} WHERE name = '{key}' FOR UPDATE"))
}

pub async fn a_row_that_somebody_sits_on_loses_its_own_lock_only<P: Program<Server: Database>>(fixture: Fixture<P>) {
    let server = fixture.start(&P::Setup::default());
    one_row_is_lost(&server, "table=distributed_locks", "distributed_locks").await;
}

pub async fn a_row_of_shedlocks_that_somebody_sits_on_loses_its_own_lock_only<P: Program<Server: ShedLocksDatabase>>(
    fixture: Fixture<P>,
) {
    let server = fixture.start(&P::Setup::default());
    server.create_shedlocks_table("shedlock");
    one_row_is_lost(&server, "table=shedlock", "shedlock").await;
}

async fn one_row_is_lost(server: &impl Database, parameters: &str, table: &str) {
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

pub async fn a_row_that_is_let_go_in_time_loses_nothing<P: Program<Server: Database>>(fixture: Fixture<P>) {
    let server = fixture.start(&P::Setup::default());
    let (_locks, guards) = holding(&server, "namespace=", &["a", "b"]).await;
    let sitting = sit_on(&server, "distributed_locks", "a");
    // At least one renewal has left it out, after it has asked for it again for a while.
    renewed(&server, 2).await;
    tokio::time::sleep(TTL / 6).await;
    drop(sitting);
    // For longer than their TTL.
    tokio::time::sleep(TTL).await;
    for guard in &guards {
        guard.check().unwrap();
    }
}

/// Returns when the lock has been acquired and released.
pub async fn a_blocked_lock_says_by_what_and_is_acquired_when_it_can_be(server: &impl Database, locks: &Locks) {
    let sitting = sit_on(server, "distributed_locks", "k");
    let error = in_time(locks.lock("k").wait(Duration::ZERO).acquire()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    assert!(chain(&error).contains("another transaction"), "{}", chain(&error));
    let waiting = tokio::spawn(locks.lock("k").wait(HANG_LIMIT).acquire());
    // For what must not happen.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished());
    drop(sitting);
    granted(waiting).await.release().await.unwrap();
    nothing_is_left(server, "k").await;
}

pub async fn a_blocked_release_is_repeated<P: Program<Server: Database>>(fixture: Fixture<P>) {
    let server = fixture.start(&P::Setup::default());
    let (locks, mut guards) = holding(&server, "namespace=", &["k", "other"]).await;
    let other = guards.pop().unwrap();
    let sitting = sit_on(&server, "distributed_locks", "k");
    drop(guards);
    // Meanwhile another is released, and an acquire of the blocked one leaves nothing behind.
    other.release().await.unwrap();
    assert_eq!(server.left("other"), [""; 0]);
    let blocked = tokio::time::timeout(Duration::from_millis(500), locks.lock("k").acquire()).await;
    assert!(blocked.is_err(), "{blocked:?}");
    assert_ne!(server.left("k"), [""; 0]);
    drop(sitting);
    nothing_is_left(&server, "k").await;
}

/// The rest of an entry leaves, for other processes and for its own.
pub async fn of_several_locks_one_that_somebody_sits_on_keeps_nobody_from_the_others<P: Program<Server: Database>>(
    fixture: Fixture<P>,
) {
    let server = fixture.start(&P::Setup::default());
    let (ours, theirs) = (connect(&server.url()), connect(&server.url()));
    let keys = ["a", "b", "c"];
    let guard = ours.lock_all(keys).acquire().await.unwrap();
    let sitting = sit_on(&server, "distributed_locks", "b");
    drop(guard);
    for locks in [&theirs, &ours] {
        in_time(acquire_and_release(locks, "a")).await;
        in_time(acquire_and_release(locks, "c")).await;
    }
    assert_ne!(server.left("b"), [""; 0]);
    drop(sitting);
    for locks in [&ours, &theirs] {
        let guard = in_time(locks.lock_all(keys).acquire()).await.unwrap();
        guard.release().await.unwrap();
    }
    for key in keys {
        nothing_is_left(&server, key).await;
    }
}

/// Sits on all of many rows, and asks for as many: what is free is not stopped.
pub async fn a_thousand_rows_that_somebody_sits_on_do_not_stop_the_others<P: Program<Server: Database>>(
    fixture: Fixture<P>,
) {
    let server = fixture.start(&P::Setup::default());
    let locks = connect(&server.url());
    acquire_and_release(&locks, "free").await;
    server.insert_free("many/", 1000);
    let sitting = server.begin("SELECT name FROM distributed_locks WHERE name LIKE 'many/%' FOR UPDATE");
    let blocked = (1..=30).map(|number| tokio::spawn(locks.lock(format!("many/{number}")).wait(HANG_LIMIT).acquire()));
    let blocked: Vec<_> = blocked.collect();
    once_within(Duration::from_millis(1500), async || {
        let asked = Instant::now();
        acquire_and_release(&locks, "free").await;
        asked.elapsed()
    })
    .await;
    assert!(blocked.iter().all(|blocked| !blocked.is_finished()));
    drop(sitting);
    for blocked in blocked {
        granted(blocked).await.release().await.unwrap();
    }
}
