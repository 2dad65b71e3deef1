//! ShedLock's table: Java services exclude us and we exclude them. They are played by the statements that ShedLock 5 sends
//! to PostgreSQL with `usingDbTime()`.

use crate::{SOON, Store, connect};
use distributed_locks::{ErrorKind, Locks};
use std::time::{Duration, Instant};
use support::body::{chain, held, lost};
use support::postgres::{Postgres, Setup};

const NOW: &str = "timezone('utc', CURRENT_TIMESTAMP)";

/// A server with ShedLock's table as its documentation has it, and a client of ours.
fn stage(store: &Store) -> (Postgres, Locks) {
    let server = store.start(Setup::default());
    server.psql(
        "CREATE TABLE shedlock(name VARCHAR(64) NOT NULL, lock_until TIMESTAMP(3) NOT NULL, locked_at TIMESTAMP(3) NOT NULL, \
         locked_by VARCHAR(255) NOT NULL, PRIMARY KEY (name)); GRANT SELECT, INSERT, UPDATE ON shedlock TO app",
    );
    // Whose clock shows another hour must not matter.
    server.psql("ALTER DATABASE locks SET timezone = 'Asia/Tokyo'");
    let locks = connect(&format!("{}&table=shedlock", server.url()));
    (server, locks)
}

/// As ShedLock asks for a lock: it inserts what it has not seen yet, and otherwise updates.
fn lock(server: &Postgres, name: &str, seconds: u32) -> bool {
    let until = format!("{NOW} + cast('{seconds} seconds' as interval)");
    let inserted = format!(
        "WITH done AS (INSERT INTO shedlock(name, lock_until, locked_at, locked_by) VALUES('{name}', {until}, {NOW}, 'java') \
         ON CONFLICT (name) DO UPDATE SET lock_until = {until}, locked_at = {NOW}, locked_by = 'java' \
         WHERE shedlock.name = '{name}' AND shedlock.lock_until <= {NOW} RETURNING 1) SELECT count(*) FROM done"
    );
    let updated = format!(
        "WITH done AS (UPDATE shedlock SET lock_until = {until}, locked_at = {NOW}, locked_by = 'java' \
         WHERE name = '{name}' AND lock_until <= {NOW} RETURNING 1) SELECT count(*) FROM done"
    );
    [inserted, updated].iter().any(|statement| server.psql(statement) == "1")
}

/// As ShedLock gives a lock back, with a `lockAtLeastFor` of nothing.
fn unlock(server: &Postgres, name: &str) {
    server.psql(&format!(
        "UPDATE shedlock SET lock_until = CASE WHEN locked_at + cast('0 seconds' as interval) > {NOW} \
         THEN locked_at + cast('0 seconds' as interval) ELSE {NOW} END WHERE name = '{name}' AND locked_by = 'java'"
    ));
}

pub(crate) async fn shedlock_excludes_us(store: Store) {
    let (server, locks) = stage(&store);
    assert!(lock(&server, "job", 3600));
    let busy = locks.lock("job").wait(Duration::ZERO).acquire().await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy);
    assert!(!busy.holder().unwrap().is_known() && busy.to_string().contains("java"), "{busy}");
    let late = locks.lock("job").wait(Duration::from_millis(300)).acquire().await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Timeout);
    let waiting = tokio::spawn(locks.lock("job").acquire());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished(), "two hold it");
    let released = Instant::now();
    unlock(&server, "job");
    let guard = tokio::time::timeout(SOON, waiting).await.unwrap().unwrap().unwrap();
    assert!(released.elapsed() < Duration::from_secs(2), "{:?}", released.elapsed());
    guard.release().await.unwrap();
    // One that ends without giving back is free when its time is over.
    assert!(lock(&server, "job", 1));
    let locked = Instant::now();
    locks.lock("job").wait(SOON).acquire().await.unwrap().release().await.unwrap();
    assert!(locked.elapsed() >= Duration::from_millis(900), "{:?}", locked.elapsed());
}

pub(crate) async fn we_exclude_shedlock(store: Store) {
    let (server, locks) = stage(&store);
    let body = held(&locks, "job", 2).await;
    // Longer than the TTL: it is renewed.
    for _ in 0..6 {
        assert!(!lock(&server, "job", 10), "two hold it");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(!body.is_finished());
    unlock(&server, "job");
    assert!(!lock(&server, "job", 10), "another's unlock freed ours");
    assert!(locks.force_release("job").await.unwrap());
    lost(body).await;
    assert!(lock(&server, "job", 10));
    unlock(&server, "job");
    let guard = locks.lock("job").acquire().await.unwrap();
    assert!(!lock(&server, "job", 10));
    guard.release().await.unwrap();
    assert!(lock(&server, "job", 10), "not given back");
}

/// The row is one that ShedLock can read, and its times are in UTC.
pub(crate) async fn shedlocks_table_is_kept_to_its_form(store: Store) {
    let (server, locks) = stage(&store);
    let guard =
        locks.lock("job").name(format!("{:ü<300}", "long")).ttl(Duration::from_secs(60)).acquire().await.unwrap();
    let row = server.psql(&format!(
        "SELECT lock_until - {NOW} BETWEEN '50 seconds' AND '61 seconds', {NOW} - locked_at < '10 seconds', \
         char_length(locked_by) FROM shedlock WHERE name = 'job'"
    ));
    assert_eq!(row, "t|t|255");
    let other = connect(&format!("{}&table=shedlock", server.url()));
    assert!(other.lock("job").try_acquire().await.unwrap().is_none());
    let line = other.inspect("job").await.unwrap().unwrap();
    assert_eq!((line.holders.len(), line.waiters.len()), (1, 0));
    guard.release().await.unwrap();
    assert_eq!(other.list("").await.unwrap(), []);
    let begun = other.lock("job").acquire().await.unwrap();
    other.close().await;
    drop(begun);
    assert!(lock(&server, "job", 10), "closing gives back");
}

pub(crate) async fn a_kept_lock_stays_taken_for_shedlock(store: Store) {
    let (server, locks) = stage(&store);
    let begun = Instant::now();
    let least = Duration::from_secs(3);
    locks.lock("job").hold_at_least(least).run(|_| async {}).await.unwrap();
    locks.close().await;
    while !lock(&server, "job", 10) {
        assert!(begun.elapsed() < least + Duration::from_secs(2), "still taken");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(begun.elapsed() >= least - Duration::from_millis(10), "free after {:?}", begun.elapsed());
}

pub(crate) async fn a_table_with_zones_is_refused(store: Store) {
    let server = store.start(Setup::default());
    server.psql(
        "CREATE TABLE shedlock(name VARCHAR(64) PRIMARY KEY, lock_until TIMESTAMPTZ, locked_at TIMESTAMPTZ, \
         locked_by VARCHAR(255)); GRANT SELECT, INSERT, UPDATE ON shedlock TO app",
    );
    let error = connect(&format!("{}&table=shedlock", server.url())).lock("job").acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
    assert!(error.to_string().contains("with time zone"), "{error}");
}
