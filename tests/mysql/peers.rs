//! ShedLock's table: Java services exclude us and we exclude them.

use crate::{Case, Fixture};
use distributed_locks::ErrorKind;
use std::time::Duration;
use support::cases;
use support::mysql::Setup;
use support::scenarios::sql::peers::{self, ShedLocksDatabase};
use support::scenarios::sql::shedlock;
use support::scenarios::{chain, connect, granted};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = cases![
        peers::shedlock_excludes_us,
        peers::a_release_by_shedlock_is_found_soon,
        peers::we_exclude_shedlock,
        peers::shedlocks_table_is_kept_to_its_form,
        peers::an_extended_lock_stays_taken_for_shedlock,
        peers::an_extended_hold_is_held_for_longer_than_the_ttl,
        peers::a_jvm_that_writes_its_own_time_is_refused,
        peers::an_extended_lock_with_a_long_name_fits,
        a_table_that_java_has_not_made_is_not_made,
        a_table_of_a_form_that_loses_locks_is_refused_by_its_reason,
        names_are_what_the_collation_takes_them_for,
    ];
    cases.extend(shedlock::cases());
    cases
}

async fn a_table_that_java_has_not_made_is_not_made(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    peers::a_table_that_java_has_not_made_is_not_made(&server, &["shedlock", "ShedLock", "locks.shedlock"]).await;
}

async fn a_table_of_a_form_that_loses_locks_is_refused_by_its_reason(fixture: Fixture) {
    let name = "name VARCHAR(64) PRIMARY KEY";
    let (times, by) = ("lock_until TIMESTAMP(3), locked_at TIMESTAMP(3)", "locked_by VARCHAR(255) NOT NULL");
    let forms = [
        (format!("{name}, lock_until TIMESTAMP, locked_at TIMESTAMP(3), {by}"), "rounds"),
        (format!("{name}, lock_until TIMESTAMP(3), locked_at TIMESTAMP(2), {by}"), "rounds"),
        (format!("name VARCHAR(64), {times}, {by}"), "primary key"),
        (format!("name VARCHAR(64), {times}, {by}, PRIMARY KEY (name, locked_by)"), "primary key"),
        (format!("{name}, {times}, locked_by VARCHAR(40)"), "room"),
        (format!("{name}, {times}, {by}, host TEXT NOT NULL"), "`host`"),
        (format!("{name}, {times}"), "`locked_by`"),
        (format!("name INT PRIMARY KEY, {times}, {by}"), "`name`"),
    ];
    let server = fixture.start(&Setup::default());
    let fine = "name VARCHAR(64) COLLATE utf8mb4_bin PRIMARY KEY, lock_until DATETIME(6), locked_at DATETIME(3), locked_by TEXT, more INT";
    peers::forms_that_lose_locks_are_refused(&server, &forms, fine).await;
    let long = connect(&server.url_with("table=shedlock")).lock("k".repeat(65)).acquire().await.unwrap_err();
    assert!(long.kind() == ErrorKind::InvalidKey && long.to_string().contains("64"), "{long}");
}

/// As ShedLock's own statements do, whose table it is.
async fn names_are_what_the_collation_takes_them_for(fixture: Fixture) {
    let (server, locks) = peers::with_its_table(&fixture);
    assert!(server.lock_as_shedlock("Job", 3600));
    let busy = locks.lock("job").wait(Duration::ZERO).acquire().await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy, "{}", chain(&busy));
    let waiting = peers::waiting(&server, &locks).await;
    server.unlock_as_shedlock("JOB");
    let guard = granted(waiting).await;
    assert!(!server.lock_as_shedlock("jOb", 10));
    tokio::time::sleep(Duration::from_secs(1)).await;
    guard.check().unwrap();
    guard.renew().await.unwrap();
    guard.release().await.unwrap();
    assert!(server.lock_as_shedlock("Job", 10));
}
