//! What a server has as its settings: SQL modes, isolation, time zones, collations; and old rows.

use crate::{Case, Fixture};
use distributed_locks::Guard;
use std::time::Duration;
use support::mysql::Setup;
use support::scenarios::{acquire_and_release, connect, granted, queued};
use support::{HANG_LIMIT, Server, cases, eventually, in_time};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        any_sql_mode_works,
        a_stricter_isolation_by_default_fails_no_turn,
        a_time_zone_with_summer_time_shifts_nothing,
        a_small_packet_is_enough,
        old_rows_are_deleted_and_fences_go_on,
        a_list_of_many_pages_is_complete,
        thousands_of_holds_are_renewed,
    ]
}

async fn any_sql_mode_works(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    for mode in [
        "",
        "ANSI,NO_BACKSLASH_ESCAPES",
        "TRADITIONAL,PIPES_AS_CONCAT,HIGH_NOT_PRECEDENCE,PAD_CHAR_TO_FULL_LENGTH",
        "ORACLE",
        "ONLY_FULL_GROUP_BY,SIMULTANEOUS_ASSIGNMENT,NO_ZERO_DATE",
        "TIME_ROUND_FRACTIONAL,EMPTY_STRING_IS_NULL",
    ] {
        server.sql(&format!("SET GLOBAL sql_mode = '{mode}'"));
        let (ours, theirs) = (connect(&server.url()), connect(&server.url()));
        for key in [format!("new/{mode}"), "old".to_owned()] {
            let guard = ours.lock(&key).acquire().await.unwrap();
            let waiting = tokio::spawn(theirs.lock(&key).acquire());
            queued(&ours, &key, 1).await;
            guard.release().await.unwrap();
            granted(waiting).await.release().await.unwrap();
        }
        in_time(ours.lock_all(["a", "b", "old"]).acquire()).await.unwrap().release().await.unwrap();
    }
}

/// Turns that are written by a swap, and several locks, under an isolation that is too strict.
async fn a_stricter_isolation_by_default_fails_no_turn(fixture: Fixture) {
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        let server = fixture.start(&Setup::default());
        server.sql(&format!("SET GLOBAL TRANSACTION ISOLATION LEVEL {level}"));
        let tasks: Vec<_> = (0..8)
            .map(|number| {
                let locks = connect(&server.url());
                tokio::spawn(async move {
                    for _ in 0..10 {
                        let wanted = if number % 2 == 0 { locks.lock("one") } else { locks.lock_all(["one", "two"]) };
                        wanted.wait(HANG_LIMIT).acquire().await.unwrap().release().await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    }
}

/// At four in the morning of the last Sunday of March there is no half past two. The clock is the machine's: what is seen is whether
/// any time that was written depends on the zone.
async fn a_time_zone_with_summer_time_shifts_nothing(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let ours = connect(&server.url());
    let guard = ours.lock("k").acquire().await.unwrap();
    for zone in ["-11:00", "+13:00"] {
        server.sql(&format!("SET GLOBAL time_zone = '{zone}'"));
        server.end_connections();
        let theirs = connect(&server.url());
        assert!(theirs.lock("k").try_acquire().await.unwrap().is_none(), "{zone}");
        let lapse = server.lapse("k");
        assert!(lapse <= Duration::from_secs(60), "{lapse:?}");
        acquire_and_release(&theirs, "other").await;
    }
    guard.check().unwrap();
    guard.release().await.unwrap();
}

/// A thousand rows are read and written in parts.
async fn a_small_packet_is_enough(fixture: Fixture) {
    let server = fixture.start(&Setup { settings: &["--max-allowed-packet=1M"], ..Setup::default() });
    let (ours, theirs) = (connect(&server.url()), connect(&server.url()));
    let mut guards = Vec::new();
    for number in 0..300 {
        guards.push(ours.lock(format!("k/{number}")).acquire().await.unwrap());
    }
    let waiting: Vec<_> =
        (0..300).map(|number| tokio::spawn(theirs.lock(format!("k/{number}")).wait(HANG_LIMIT).acquire())).collect();
    eventually(async || if server.waiters("k/") == 300 { Ok(()) } else { Err(server.waiters("k/")) }).await;
    for guard in guards {
        guard.release().await.unwrap();
    }
    for waiting in waiting {
        granted(waiting).await.release().await.unwrap();
    }
}

async fn old_rows_are_deleted_and_fences_go_on(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let first = connect(&server.url());
    let guard = first.lock("old").acquire().await.unwrap();
    let fence = guard.fence();
    guard.release().await.unwrap();
    let held = first.lock("held").acquire().await.unwrap();
    first.once("/done").run(async |_| Ok::<_, distributed_locks::Error>(())).await.unwrap();
    server.sql("UPDATE distributed_locks SET locked_until = locked_until - 90000000000 WHERE name NOT IN ('held', '/done\tdone')");
    // A new client looks at once.
    let second = connect(&server.url());
    let left = || server.sql("SELECT name FROM distributed_locks ORDER BY name");
    acquire_and_release(&second, "new").await;
    eventually(async || if left().contains("old") { Err(left()) } else { Ok(()) }).await;
    assert!(left().contains("held") && left().contains("/done"), "{}", left());
    let guard = second.lock("old").acquire().await.unwrap();
    assert!(fence < guard.fence());
    guard.release().await.unwrap();
    held.release().await.unwrap();
}

async fn a_list_of_many_pages_is_complete(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url());
    acquire_and_release(&locks, "k").await;
    server.sql(
        "INSERT INTO distributed_locks (name, version, fence, session, number, holder, locked_until, queue) \
         SELECT CONCAT('page/', seq), 1, seq, 's', seq, '', IF(seq % 3 = 0, 0, 9000000000000000000), '' FROM seq_1_to_9000",
    );
    assert_eq!(locks.list("page/").await.unwrap().len(), 6_000);
    assert_eq!(locks.list("page/1").await.unwrap().len(), 742);
    assert_eq!(locks.list("pag").await.unwrap().len(), 6_000);
    assert_eq!(locks.list("page0").await.unwrap().len(), 0);
}

async fn thousands_of_holds_are_renewed(fixture: Fixture) {
    const COUNT: usize = 5_000;
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url_with("ttl=12s"));
    let tasks: Vec<_> =
        (0..COUNT).map(|number| tokio::spawn(locks.lock(format!("k/{number}")).wait(HANG_LIMIT).acquire())).collect();
    let mut guards = Vec::new();
    for task in tasks {
        guards.push(granted(task).await);
    }
    tokio::time::sleep(Duration::from_secs(14)).await;
    assert_eq!(guards.iter().filter(|guard| !guard.is_held()).count(), 0, "lost");
    locks.close().await;
    assert_eq!(server.left("k/").len(), 0);
    drop::<Vec<Guard>>(guards);
}
