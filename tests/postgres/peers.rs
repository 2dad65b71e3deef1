//! ShedLock's table: Java services exclude us and we exclude them. Here they are played by the statements that ShedLock 5
//! sends to PostgreSQL with `usingDbTime()`; [`shedlock`] has ShedLock itself.

use crate::{Case, Fixture};
use distributed_locks::{Error, ErrorKind, Guard, Locks};
use std::time::{Duration, Instant};
use support::postgres::{Postgres, Setup};
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
        a_table_with_zones_is_refused,
        the_table_is_found_in_javas_schema_and_however_it_is_spelled,
        a_table_that_java_has_not_made_is_not_made,
        a_table_of_a_form_that_loses_locks_is_refused_by_its_reason,
        a_jvm_that_writes_its_own_time_is_refused,
        an_extended_lock_with_a_long_name_fits,
    ];
    cases.extend(shedlock::cases());
    cases
}

const NOW: &str = "timezone('utc', CURRENT_TIMESTAMP)";

/// ShedLock's table, as its documentation has it.
pub(crate) fn create_shedlocks_table(server: &Postgres) {
    server.psql(
        "CREATE TABLE shedlock(name VARCHAR(64) NOT NULL, lock_until TIMESTAMP(3) NOT NULL, locked_at TIMESTAMP(3) NOT NULL, \
         locked_by VARCHAR(255) NOT NULL, PRIMARY KEY (name)); GRANT SELECT, INSERT, UPDATE ON shedlock TO app",
    );
}

/// A server with ShedLock's table, and a client of ours.
fn with_its_table(fixture: &Fixture) -> (Postgres, Locks) {
    let server = fixture.start(&Setup::default());
    create_shedlocks_table(&server);
    // That a clock shows another hour must not matter.
    server.psql("ALTER DATABASE locks SET timezone = 'Asia/Tokyo'");
    let locks = connect(&server.url_with("table=shedlock"));
    (server, locks)
}

/// As ShedLock tries to acquire a lock: it inserts what it has not seen yet, and otherwise updates.
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

/// As ShedLock releases a lock, with a `lockAtLeastFor` of nothing.
fn unlock(server: &Postgres, name: &str) {
    server.psql(&format!(
        "UPDATE shedlock SET lock_until = CASE WHEN locked_at + cast('0 seconds' as interval) > {NOW} \
         THEN locked_at + cast('0 seconds' as interval) ELSE {NOW} END WHERE name = '{name}' AND locked_by = 'java'"
    ));
}

/// An acquire that has found the lock taken twice, and so waits. The table has no queue that would show it.
async fn waiting(server: &Postgres, locks: &Locks) -> JoinHandle<Result<Guard, Error>> {
    let looks = || server.statements_with("AS place");
    let before = looks();
    let waiting = tokio::spawn(locks.lock("job").acquire());
    eventually(async || if looks() >= before + 2 { Ok(()) } else { Err("not yet") }).await;
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

/// A waiter looks every two seconds at the latest, though the lock is taken for an hour.
async fn a_release_by_shedlock_is_found_soon(fixture: Fixture) {
    let (server, locks) = with_its_table(&fixture);
    once_within(Duration::from_secs(4), async || {
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
    let row = server.psql(&format!(
        "SELECT lock_until - {NOW} BETWEEN '500 seconds' AND '601 seconds', {NOW} - locked_at < '100 seconds', \
         char_length(locked_by) FROM shedlock WHERE name = 'job'"
    ));
    assert_eq!(row, "t|t|255");
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
    let longer = "SELECT lock_until - locked_at > '9 seconds' FROM shedlock WHERE name = 'job'";
    assert_eq!(server.psql(longer), "f", "it stays taken for its whole TTL");
    eventually(async || if lock(&server, "job", 10) { Ok(()) } else { Err("still taken") }).await;
    // The table's times are in milliseconds.
    assert!(begun.elapsed() >= LEAST - Duration::from_millis(10), "free after {:?}", begun.elapsed());
}

async fn a_table_with_zones_is_refused(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    server.psql(
        "CREATE TABLE shedlock(name VARCHAR(64) PRIMARY KEY, lock_until TIMESTAMPTZ, locked_at TIMESTAMPTZ, \
         locked_by VARCHAR(255)); GRANT SELECT, INSERT, UPDATE ON shedlock TO app",
    );
    let locks = connect(&server.url_with("table=shedlock"));
    for error in [locks.lock("job").acquire().await.unwrap_err(), locks.list("").await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
        assert!(error.to_string().contains("with time zone"), "{error}");
    }
}

/// In Java the name is not quoted, and `currentSchema` may be another.
async fn the_table_is_found_in_javas_schema_and_however_it_is_spelled(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    server.psql(
        "CREATE SCHEMA jobs AUTHORIZATION app; CREATE TABLE jobs.shedlock(name VARCHAR(64) PRIMARY KEY, \
         lock_until TIMESTAMP(3) NOT NULL, locked_at TIMESTAMP(3) NOT NULL, locked_by VARCHAR(255) NOT NULL); \
         GRANT SELECT, INSERT, UPDATE ON jobs.shedlock TO app; ALTER DATABASE locks SET search_path = jobs",
    );
    assert!(lock(&server, "job", 3600));
    server.psql("ALTER DATABASE locks RESET search_path");
    for name in ["shedlock", "SHEDLOCK", "jobs.ShedLock", "JOBS.SHEDLOCK", "jobs.shedlock&layout=shedlock"] {
        let busy = connect(&server.url_with(&format!("table={name}"))).lock("job").wait(Duration::ZERO).acquire().await;
        let busy = busy.map(drop).unwrap_err();
        assert!(busy.kind() == ErrorKind::Busy && busy.to_string().contains("java"), "{name}: {}", chain(&busy));
    }
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname IN ('public', 'jobs')";
    assert_eq!(server.psql(tables), "1");
}

async fn a_table_that_java_has_not_made_is_not_made(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    for name in ["shedlock", "ShedLock", "jobs.shedlock", "public.SHEDLOCK"] {
        let error = refused_at_once(&server.url_with(&format!("table={name}")), "job").await;
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
        assert!(error.to_string().contains("CREATE TABLE"), "{error}");
    }
    assert_eq!(server.psql("SELECT count(*) FROM pg_tables WHERE tablename ILIKE 'shedlock'"), "0");
}

async fn a_table_of_a_form_that_loses_locks_is_refused_by_its_reason(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let forms = [
        ("name text PRIMARY KEY, lock_until timestamp(0), locked_at timestamp(3), locked_by text", "rounds"),
        ("name text PRIMARY KEY, lock_until timestamp, locked_at timestamp(2), locked_by text", "rounds"),
        ("name text, lock_until timestamp, locked_at timestamp, locked_by text", "unique key"),
        (
            "name text, lock_until timestamp, locked_at timestamp, locked_by text, PRIMARY KEY (name, locked_by)",
            "unique key",
        ),
        ("name text PRIMARY KEY, lock_until timestamp, locked_at timestamp, locked_by varchar(40)", "room"),
        (
            "name text PRIMARY KEY, lock_until timestamp, locked_at timestamp, locked_by text, host text NOT NULL",
            "`host`",
        ),
        ("name text PRIMARY KEY, lock_until timestamp, locked_at timestamp", "`locked_by`"),
        ("name int PRIMARY KEY, lock_until timestamp, locked_at timestamp, locked_by text", "`name`"),
    ];
    for (columns, what) in forms {
        server.psql(&format!(
            "DROP TABLE IF EXISTS shedlock; CREATE TABLE shedlock ({columns}); GRANT ALL ON shedlock TO app"
        ));
        let locks = connect(&server.url_with("table=shedlock"));
        for error in [locks.lock("job").acquire().await.unwrap_err(), locks.list("").await.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{columns}: {}", chain(&error));
            assert!(error.to_string().contains(what), "{columns}: {error}");
        }
    }
    // What differs and does no harm is taken as it is.
    let fine = "name varchar(30) UNIQUE, lock_until timestamp, locked_at timestamp(6), locked_by varchar(100), more int, \
                made timestamptz NOT NULL DEFAULT now()";
    server.psql(&format!("DROP TABLE shedlock; CREATE TABLE shedlock ({fine}); GRANT ALL ON shedlock TO app"));
    let locks = connect(&server.url_with("table=shedlock"));
    locks.lock("job").acquire().await.unwrap().release().await.unwrap();
    let long = locks.lock("n".repeat(31)).acquire().await.unwrap_err();
    assert!(long.kind() == ErrorKind::InvalidKey && long.to_string().contains("longer"), "{}", chain(&long));
}

/// Without `usingDbTime()`, in a zone ahead of UTC.
async fn a_jvm_that_writes_its_own_time_is_refused(fixture: Fixture) {
    let (server, locks) = with_its_table(&fixture);
    server.psql(
        "INSERT INTO shedlock SELECT 'job', now + interval '10 hours', now + interval '9 hours', 'tokyo' \
         FROM (SELECT timezone('utc', clock_timestamp()) AS now) AS clock",
    );
    for wait in [Duration::ZERO, HANG_LIMIT] {
        let error = locks.lock("job").wait(wait).acquire().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
        assert!(error.to_string().contains("usingDbTime") && error.to_string().contains("tokyo"), "{error}");
    }
    locks.lock("another").acquire().await.unwrap().release().await.unwrap();
}

async fn an_extended_lock_with_a_long_name_fits(fixture: Fixture) {
    let (server, locks) = with_its_table(&fixture);
    let lock = locks.lock("job").name("n".repeat(300)).hold_at_least(Duration::from_secs(3600));
    lock.run(|_| async {}).await.unwrap();
    assert!(!lock_is_free(&server, "job"));
    assert_eq!(server.psql("SELECT max(char_length(locked_by)) <= 255 FROM shedlock"), "t");
}

fn lock_is_free(server: &Postgres, name: &str) -> bool {
    server.psql(&format!("SELECT lock_until <= {NOW} FROM shedlock WHERE name = '{name}'")) == "t"
}
