//! ShedLock's table: Java services exclude us and we exclude them. Here they are played by the statements that ShedLock
//! sends to MySQL and MariaDB with `usingDbTime()`; [`shedlock`] has ShedLock itself.

use crate::{Case, Fixture};
use distributed_locks::{Error, ErrorKind, Guard, Locks};
use std::time::{Duration, Instant};
use support::mysql::{Mysql, Setup};
use support::scenarios::bad_input::refused_at_once;
use support::scenarios::{chain, connect, granted, held, lost};
use support::{HANG_LIMIT, cases, eventually, once_within};
use tokio::task::JoinHandle;

mod shedlock;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = cases![
        shedlock_excludes_us,
        a_release_by_shedlock_is_found_soon,
        we_exclude_shedlock,
        shedlocks_table_is_kept_to_its_form,
        an_extended_lock_stays_taken_for_shedlock,
        an_extended_hold_is_held_for_longer_than_the_ttl,
        a_table_that_java_has_not_made_is_not_made,
        a_table_of_a_form_that_loses_locks_is_refused_by_its_reason,
        a_jvm_that_writes_its_own_time_is_refused,
        names_are_what_the_collation_takes_them_for,
    ];
    cases.extend(shedlock::cases());
    cases
}

/// ShedLock's table, as its documentation has it for MySQL and MariaDB.
pub(crate) fn create_shedlocks_table(server: &Mysql) {
    server.sql(
        "CREATE TABLE shedlock(name VARCHAR(64) NOT NULL, lock_until TIMESTAMP(3) NOT NULL, \
         locked_at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), locked_by VARCHAR(255) NOT NULL, PRIMARY KEY (name))",
    );
}

/// A server with ShedLock's table, and a client of ours.
fn with_its_table(fixture: &Fixture) -> (Mysql, Locks) {
    // That a clock shows another hour must not matter.
    let server = fixture.start(&Setup { settings: &["--default-time-zone=+09:00"], ..Setup::default() });
    create_shedlocks_table(&server);
    let locks = connect(&server.url_with("table=shedlock"));
    (server, locks)
}

/// As ShedLock tries to acquire a lock: it inserts what it has not seen yet, and otherwise updates.
fn lock(server: &Mysql, name: &str, seconds: u32) -> bool {
    let until = format!("TIMESTAMPADD(MICROSECOND, {seconds}000000, UTC_TIMESTAMP(3))");
    let inserted = format!(
        "INSERT IGNORE INTO shedlock(name, lock_until, locked_at, locked_by) VALUES('{name}', {until}, UTC_TIMESTAMP(3), 'java')"
    );
    let updated = format!(
        "UPDATE shedlock SET lock_until = {until}, locked_at = UTC_TIMESTAMP(3), locked_by = 'java' \
         WHERE name = '{name}' AND lock_until <= UTC_TIMESTAMP(3)"
    );
    [inserted, updated].iter().any(|statement| server.sql(&format!("{statement}; SELECT ROW_COUNT()")) == "1")
}

/// As ShedLock releases a lock, with a `lockAtLeastFor` of nothing.
fn unlock(server: &Mysql, name: &str) {
    server.sql(&format!(
        "UPDATE shedlock SET lock_until = IF (TIMESTAMPADD(MICROSECOND, 0, locked_at) > UTC_TIMESTAMP(3), \
         TIMESTAMPADD(MICROSECOND, 0, locked_at), UTC_TIMESTAMP(3)) WHERE name = '{name}' AND locked_by = 'java'"
    ));
}

/// An acquire that has found the lock taken, and so waits. The table has no queue that would show it.
async fn waiting(server: &Mysql, locks: &Locks) -> JoinHandle<Result<Guard, Error>> {
    let before = server.statements();
    let waiting = tokio::spawn(locks.lock("job").acquire());
    eventually(async || if server.statements() >= before + 5 { Ok(()) } else { Err("not yet") }).await;
    waiting
}

async fn shedlock_excludes_us(fixture: Fixture) {
    let (server, locks) = with_its_table(&fixture);
    assert!(lock(&server, "job", 3600));
    let busy = locks.lock("job").wait(Duration::ZERO).acquire().await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy);
    assert!(!busy.holder().unwrap().is_known() && busy.to_string().contains("java"), "{busy}");
    let late = locks.lock("job").wait(Duration::from_secs(2)).acquire().await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Timeout);
    let waiting = waiting(&server, &locks).await;
    assert!(!waiting.is_finished(), "two hold it");
    unlock(&server, "job");
    granted(waiting).await.release().await.unwrap();
    // One that ends without releasing is free when its time is over, in milliseconds.
    let begun = Instant::now();
    assert!(lock(&server, "job", 1));
    locks.lock("job").wait(HANG_LIMIT).acquire().await.unwrap().release().await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(990), "{:?}", begun.elapsed());
}

async fn a_release_by_shedlock_is_found_soon(fixture: Fixture) {
    let (server, locks) = with_its_table(&fixture);
    once_within(Duration::from_secs(1), async || {
        assert!(lock(&server, "job", 3600));
        let waiting = waiting(&server, &locks).await;
        let released = Instant::now();
        unlock(&server, "job");
        granted(waiting).await.release().await.unwrap();
        released.elapsed()
    })
    .await;
}

async fn we_exclude_shedlock(fixture: Fixture) {
    const TTL: u64 = 6;
    let (server, locks) = with_its_table(&fixture);
    let body = held(&locks, "job", TTL).await;
    let begun = Instant::now();
    // Longer than the TTL: it is renewed.
    while begun.elapsed() < Duration::from_secs(TTL + 2) {
        assert!(!lock(&server, "job", 10), "two hold it");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(!body.is_finished());
    unlock(&server, "job");
    assert!(!lock(&server, "job", 10), "another's unlock freed ours");
    assert!(locks.force_release("job").await.unwrap());
    lost(body).await;
    assert!(lock(&server, "job", 600));
    unlock(&server, "job");
    let guard = locks.lock("job").acquire().await.unwrap();
    assert!(!lock(&server, "job", 600));
    guard.release().await.unwrap();
    assert!(lock(&server, "job", 600), "not released");
}

/// The row is one that ShedLock can read, and its times are in UTC.
async fn shedlocks_table_is_kept_to_its_form(fixture: Fixture) {
    let (server, locks) = with_its_table(&fixture);
    let name = format!("{:ü<300}", "long");
    let guard = locks.lock("job").name(name).ttl(Duration::from_secs(600)).acquire().await.unwrap();
    let row = server.sql(
        "SELECT TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(3), lock_until) BETWEEN 500 AND 601, \
         TIMESTAMPDIFF(SECOND, locked_at, UTC_TIMESTAMP(3)) < 100, CHAR_LENGTH(locked_by) FROM shedlock WHERE name = 'job'",
    );
    assert_eq!(row, "1\t1\t255");
    let other = connect(&server.url_with("table=shedlock"));
    assert!(other.lock("job").try_acquire().await.unwrap().is_none());
    let line = other.inspect("job").await.unwrap().unwrap();
    assert_eq!((line.holders.len(), line.waiters.len()), (1, 0));
    guard.release().await.unwrap();
    assert_eq!(other.list("").await.unwrap(), []);
    let begun = other.lock("job").acquire().await.unwrap();
    other.close().await;
    drop(begun);
    assert!(lock(&server, "job", 10), "closing releases");
}

async fn an_extended_lock_stays_taken_for_shedlock(fixture: Fixture) {
    const LEAST: Duration = Duration::from_secs(3);
    let (server, locks) = with_its_table(&fixture);
    let begun = Instant::now();
    locks.lock("job").hold_at_least(LEAST).run(|_| async {}).await.unwrap();
    locks.close().await;
    let longer = "SELECT TIMESTAMPDIFF(SECOND, locked_at, lock_until) > 9 FROM shedlock WHERE name = 'job'";
    assert_eq!(server.sql(longer), "0", "it stays taken for its whole TTL");
    eventually(async || if lock(&server, "job", 10) { Ok(()) } else { Err("still taken") }).await;
    // The table's times are in milliseconds.
    assert!(begun.elapsed() >= LEAST - Duration::from_millis(10), "free after {:?}", begun.elapsed());
    let long = locks_of(&server).lock("long").name("n".repeat(300)).hold_at_least(Duration::from_secs(3600));
    long.run(|_| async {}).await.unwrap();
    assert!(!lock(&server, "long", 10));
    assert_eq!(server.sql("SELECT MAX(CHAR_LENGTH(locked_by)) <= 255 FROM shedlock"), "1");
}

/// A renewal finds nothing to change in its row.
async fn an_extended_hold_is_held_for_longer_than_the_ttl(fixture: Fixture) {
    let (server, _) = with_its_table(&fixture);
    let locks = connect(&server.url_with("table=shedlock&ttl=2s"));
    let guard = locks.lock("job").hold_at_least(Duration::from_secs(60)).acquire().await.unwrap();
    let lost = tokio::time::timeout(Duration::from_secs(5), guard.lost()).await;
    assert!(lost.is_err(), "{lost:?}");
    guard.release().await.unwrap();
}

fn locks_of(server: &Mysql) -> Locks {
    connect(&server.url_with("table=shedlock"))
}

async fn a_table_that_java_has_not_made_is_not_made(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    for name in ["shedlock", "ShedLock", "locks.shedlock"] {
        let error = refused_at_once(&server.url_with(&format!("table={name}")), "job").await;
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
        assert!(error.to_string().contains("CREATE TABLE"), "{error}");
    }
    assert_eq!(server.sql("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME LIKE '%shedlock%'"), "0");
}

async fn a_table_of_a_form_that_loses_locks_is_refused_by_its_reason(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let by = "locked_by VARCHAR(255) NOT NULL";
    let forms = [
        (format!("name VARCHAR(64) PRIMARY KEY, lock_until TIMESTAMP, locked_at TIMESTAMP(3), {by}"), "rounds"),
        (format!("name VARCHAR(64) PRIMARY KEY, lock_until TIMESTAMP(3), locked_at TIMESTAMP(2), {by}"), "rounds"),
        (format!("name VARCHAR(64), lock_until TIMESTAMP(3), locked_at TIMESTAMP(3), {by}"), "primary key"),
        (
            format!(
                "name VARCHAR(64), lock_until TIMESTAMP(3), locked_at TIMESTAMP(3), {by}, PRIMARY KEY (name, locked_by)"
            ),
            "primary key",
        ),
        (
            "name VARCHAR(64) PRIMARY KEY, lock_until TIMESTAMP(3), locked_at TIMESTAMP(3), locked_by VARCHAR(40)"
                .to_owned(),
            "room",
        ),
        (
            format!(
                "name VARCHAR(64) PRIMARY KEY, lock_until TIMESTAMP(3), locked_at TIMESTAMP(3), {by}, host TEXT NOT NULL"
            ),
            "`host`",
        ),
        ("name VARCHAR(64) PRIMARY KEY, lock_until TIMESTAMP(3), locked_at TIMESTAMP(3)".to_owned(), "`locked_by`"),
        (format!("name INT PRIMARY KEY, lock_until TIMESTAMP(3), locked_at TIMESTAMP(3), {by}"), "`name`"),
    ];
    for (columns, what) in &forms {
        server.sql(&format!("DROP TABLE IF EXISTS shedlock; CREATE TABLE shedlock ({columns})"));
        let locks = locks_of(&server);
        for error in [locks.lock("job").acquire().await.unwrap_err(), locks.list("").await.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{columns}: {}", chain(&error));
            assert!(error.to_string().contains(what), "{columns}: {error}");
        }
    }
    // What differs and does no harm is taken as it is.
    let fine = "name VARCHAR(64) COLLATE utf8mb4_bin PRIMARY KEY, lock_until DATETIME(6), locked_at DATETIME(3), locked_by TEXT, more INT";
    server.sql(&format!("DROP TABLE shedlock; CREATE TABLE shedlock ({fine})"));
    locks_of(&server).lock("job").acquire().await.unwrap().release().await.unwrap();
    let long = locks_of(&server).lock("k".repeat(65)).acquire().await.unwrap_err();
    assert!(long.kind() == ErrorKind::InvalidKey && long.to_string().contains("64"), "{long}");
}

/// Without `usingDbTime()`, in a zone ahead of UTC.
async fn a_jvm_that_writes_its_own_time_is_refused(fixture: Fixture) {
    let (server, locks) = with_its_table(&fixture);
    server.sql(
        "INSERT INTO shedlock VALUES ('job', UTC_TIMESTAMP(3) + INTERVAL 10 HOUR, UTC_TIMESTAMP(3) + INTERVAL 9 HOUR, 'tokyo')",
    );
    for wait in [Duration::ZERO, HANG_LIMIT] {
        let error = locks.lock("job").wait(wait).acquire().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
        assert!(error.to_string().contains("usingDbTime") && error.to_string().contains("tokyo"), "{error}");
    }
    locks.lock("another").acquire().await.unwrap().release().await.unwrap();
}

/// As ShedLock's own statements do, whose table it is.
async fn names_are_what_the_collation_takes_them_for(fixture: Fixture) {
    let (server, locks) = with_its_table(&fixture);
    assert!(lock(&server, "Job", 3600));
    let busy = locks.lock("job").wait(Duration::ZERO).acquire().await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy, "{}", chain(&busy));
    let waiting = waiting(&server, &locks).await;
    unlock(&server, "JOB");
    let guard = granted(waiting).await;
    assert!(!lock(&server, "jOb", 10));
    tokio::time::sleep(Duration::from_secs(1)).await;
    guard.check().unwrap();
    guard.renew().await.unwrap();
    guard.release().await.unwrap();
    assert!(lock(&server, "Job", 10));
}
