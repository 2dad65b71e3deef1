//! ShedLock's table: Java services exclude us and we exclude them. Here they are played by the statements that ShedLock sends
//! with `usingDbTime()`; [`shedlock`](super::shedlock) has ShedLock itself.

#![expect(missing_docs, reason = "the name of a scenario is what it shows")]

use std::time::{Duration, Instant};

use distributed_locks::{Error, ErrorKind, Guard, Locks};
use tokio::task::JoinHandle;

use super::Database;
use crate::cases::{Fixture, Program};
use crate::scenarios::bad_input::refused_at_once;
use crate::scenarios::{chain, connect, granted, held, lost};
use crate::{HANG_LIMIT, eventually, once_within};

/// A server on which ShedLock's table may be.
pub trait ShedLocksDatabase: Database {
    /// The time as the table has it.
    const UTC: &'static str;

    /// In which time a waiter finds that ShedLock has released a lock.
    const FOUND_WITHIN: Duration;

    /// By how much [`looks`](ShedLocksDatabase::looks) grows until somebody who has found a lock taken waits for it.
    const LOOKS_UNTIL_IT_WAITS: u64;

    /// How Java may spell `jobs.shedlock`.
    const AS_IN_JAVA: &str;

    /// Makes the table by this name, as ShedLock's documentation has it, for `app`.
    fn create_shedlocks_table(&self, name: &str);

    /// Lets the database's clocks show another hour than UTC to who connects from now on.
    fn set_another_time_zone(&self);

    /// The table as its driver is to find it: see `tests/peers/shedlock`.
    fn shedlocks_address(&self, table: &str) -> String;

    /// As ShedLock tries to acquire a lock: it inserts what it has not seen yet, and otherwise updates.
    fn lock_as_shedlock(&self, name: &str, seconds: u32) -> bool;

    /// As ShedLock releases a lock, with a `lockAtLeastFor` of nothing.
    fn unlock_as_shedlock(&self, name: &str);

    /// How many statements have looked whether a lock is free; or have been sent at all, where they cannot be told apart.
    fn looks(&self) -> u64;
}

/// A server with ShedLock's table, and a client of ours.
pub fn with_its_table<P: Program<Server: ShedLocksDatabase>>(fixture: &Fixture<P>) -> (P::Server, Locks) {
    let server = fixture.start(&P::Setup::default());
    server.create_shedlocks_table("shedlock");
    // That a clock shows another hour must not matter.
    server.set_another_time_zone();
    let locks = connect(&server.url_with("table=shedlock"));
    (server, locks)
}

/// An acquire that has found the lock taken, and so waits. The table has no queue that would show it.
pub async fn waiting<S: ShedLocksDatabase>(server: &S, locks: &Locks) -> JoinHandle<Result<Guard, Error>> {
    let before = server.looks();
    let waiting = tokio::spawn(locks.lock("job").acquire());
    let waits = || server.looks() >= before + S::LOOKS_UNTIL_IT_WAITS;
    eventually(async || if waits() { Ok(()) } else { Err("not yet") }).await;
    waiting
}

pub async fn shedlock_excludes_us<P: Program<Server: ShedLocksDatabase>>(fixture: Fixture<P>) {
    let (server, locks) = with_its_table(&fixture);
    assert!(server.lock_as_shedlock("job", 3600));
    let busy = locks.lock("job").wait(Duration::ZERO).acquire().await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy);
    assert!(!busy.holder().unwrap().is_known() && busy.to_string().contains("java"), "{busy}");
    let late = locks.lock("job").wait(Duration::from_secs(2)).acquire().await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Timeout);
    let waiting = waiting(&server, &locks).await;
    assert!(!waiting.is_finished(), "two hold it");
    server.unlock_as_shedlock("job");
    granted(waiting).await.release().await.unwrap();
    // One that ends without releasing is free when its time is over, in milliseconds.
    let begun = Instant::now();
    assert!(server.lock_as_shedlock("job", 1));
    locks.lock("job").wait(HANG_LIMIT).acquire().await.unwrap().release().await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(990), "{:?}", begun.elapsed());
}

/// Though the lock is taken for an hour.
pub async fn a_release_by_shedlock_is_found_soon<P: Program<Server: ShedLocksDatabase>>(fixture: Fixture<P>) {
    let (server, locks) = with_its_table(&fixture);
    once_within(P::Server::FOUND_WITHIN, async || {
        assert!(server.lock_as_shedlock("job", 3600));
        let waiting = waiting(&server, &locks).await;
        let released = Instant::now();
        server.unlock_as_shedlock("job");
        granted(waiting).await.release().await.unwrap();
        released.elapsed()
    })
    .await;
}

pub async fn we_exclude_shedlock<P: Program<Server: ShedLocksDatabase>>(fixture: Fixture<P>) {
    const TTL: u64 = 6;
    let (server, locks) = with_its_table(&fixture);
    let body = held(&locks, "job", TTL).await;
    let begun = Instant::now();
    // Longer than the TTL: it is renewed.
    while begun.elapsed() < Duration::from_secs(TTL + 2) {
        assert!(!server.lock_as_shedlock("job", 10), "two hold it");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(!body.is_finished());
    server.unlock_as_shedlock("job");
    assert!(!server.lock_as_shedlock("job", 10), "another's unlock freed ours");
    assert!(locks.force_release("job").await.unwrap());
    lost(body).await;
    assert!(server.lock_as_shedlock("job", 600));
    server.unlock_as_shedlock("job");
    let guard = locks.lock("job").acquire().await.unwrap();
    assert!(!server.lock_as_shedlock("job", 600));
    guard.release().await.unwrap();
    assert!(server.lock_as_shedlock("job", 600), "not released");
}

/// The row is one that ShedLock can read, and its times are in UTC.
pub async fn shedlocks_table_is_kept_to_its_form<P: Program<Server: ShedLocksDatabase>>(fixture: Fixture<P>) {
    let (server, locks) = with_its_table(&fixture);
    let name = format!("{:ü<300}", "long");
    let guard = locks.lock("job").name(name).ttl(Duration::from_secs(600)).acquire().await.unwrap();
    let now = P::Server::UTC;
    for condition in [
        &format!("lock_until BETWEEN {now} + INTERVAL '500' SECOND AND {now} + INTERVAL '601' SECOND"),
        &format!("{now} < locked_at + INTERVAL '100' SECOND"),
        "char_length(locked_by) = 255",
    ] {
        assert_eq!(server.count("shedlock", condition), 1, "{condition}");
    }
    let other = connect(&server.url_with("table=shedlock"));
    assert!(other.lock("job").try_acquire().await.unwrap().is_none());
    let line = other.inspect("job").await.unwrap().unwrap();
    assert_eq!((line.holders.len(), line.waiters.len()), (1, 0));
    guard.release().await.unwrap();
    assert_eq!(other.list("").await.unwrap(), []);
    let begun = other.lock("job").acquire().await.unwrap();
    other.close().await;
    drop(begun);
    assert!(server.lock_as_shedlock("job", 10), "closing releases");
}

pub async fn an_extended_lock_stays_taken_for_shedlock<P: Program<Server: ShedLocksDatabase>>(fixture: Fixture<P>) {
    const LEAST: Duration = Duration::from_secs(3);
    let (server, locks) = with_its_table(&fixture);
    let begun = Instant::now();
    locks.lock("job").hold_at_least(LEAST).run(|_| async {}).await.unwrap();
    locks.close().await;
    let longer = server.count("shedlock", "lock_until > locked_at + INTERVAL '9' SECOND");
    assert_eq!(longer, 0, "it stays taken for its whole TTL");
    eventually(async || if server.lock_as_shedlock("job", 10) { Ok(()) } else { Err("still taken") }).await;
    // The table's times are in milliseconds.
    assert!(begun.elapsed() >= LEAST - Duration::from_millis(10), "free after {:?}", begun.elapsed());
}

/// A renewal finds nothing to change in its row.
pub async fn an_extended_hold_is_held_for_longer_than_the_ttl<P: Program<Server: ShedLocksDatabase>>(
    fixture: Fixture<P>,
) {
    let (server, _) = with_its_table(&fixture);
    let locks = connect(&server.url_with("table=shedlock&ttl=2s"));
    let guard = locks.lock("job").hold_at_least(Duration::from_secs(60)).acquire().await.unwrap();
    let lost = tokio::time::timeout(Duration::from_secs(5), guard.lost()).await;
    assert!(lost.is_err(), "{lost:?}");
    guard.release().await.unwrap();
}

/// Without `usingDbTime()`, in a zone ahead of UTC.
pub async fn a_jvm_that_writes_its_own_time_is_refused<P: Program<Server: ShedLocksDatabase>>(fixture: Fixture<P>) {
    let (server, locks) = with_its_table(&fixture);
    let now = P::Server::UTC;
    server.sql(&format!(
        "INSERT INTO shedlock VALUES ('job', {now} + INTERVAL '10' HOUR, {now} + INTERVAL '9' HOUR, 'tokyo')"
    ));
    for wait in [Duration::ZERO, HANG_LIMIT] {
        let error = locks.lock("job").wait(wait).acquire().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
        assert!(error.to_string().contains("usingDbTime") && error.to_string().contains("tokyo"), "{error}");
    }
    locks.lock("another").acquire().await.unwrap().release().await.unwrap();
}

pub async fn an_extended_lock_with_a_long_name_fits<P: Program<Server: ShedLocksDatabase>>(fixture: Fixture<P>) {
    let (server, locks) = with_its_table(&fixture);
    let lock = locks.lock("job").name("n".repeat(300)).hold_at_least(Duration::from_secs(3600));
    lock.run(|_| async {}).await.unwrap();
    assert_eq!(server.count("shedlock", &format!("lock_until > {}", P::Server::UTC)), 1, "it is free");
    assert_eq!(server.count("shedlock", "char_length(locked_by) <= 255"), 1);
}

/// Whatever its spelling.
pub async fn a_table_that_java_has_not_made_is_not_made<S: ShedLocksDatabase>(server: &S, names: &[&str]) {
    for name in names {
        let error = refused_at_once(&server.url_with(&format!("table={name}")), "job").await;
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
        assert!(error.to_string().contains("CREATE TABLE"), "{error}");
    }
    assert_eq!(server.count("information_schema.tables", "lower(table_name) LIKE '%shedlock%'"), 0);
}

/// Each of these forms of the table is refused by a message that contains the text beside it. What differs and does no harm
/// is taken as it is.
pub async fn forms_that_lose_locks_are_refused<S: ShedLocksDatabase>(
    server: &S,
    forms: &[(impl AsRef<str>, &str)],
    fine: &str,
) {
    let create = |columns: &str| {
        server.sql("DROP TABLE IF EXISTS shedlock");
        server.create_table("shedlock", columns);
        connect(&server.url_with("table=shedlock"))
    };
    for (columns, what) in forms {
        let columns = columns.as_ref();
        let locks = create(columns);
        for error in [locks.lock("job").acquire().await.unwrap_err(), locks.list("").await.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{columns}: {}", chain(&error));
            assert!(error.to_string().contains(what), "{columns}: {error}");
        }
    }
    create(fine).lock("job").acquire().await.unwrap().release().await.unwrap();
}
