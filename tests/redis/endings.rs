//! However a body ends, nothing of it stays.

use crate::{Case, Fixture};
use std::time::{Duration, Instant};
use support::proxy::Mode;
use support::redis::Setup;
use support::scenarios::{behind_proxy, connect, endings, granted, holding, nothing_is_left, queued};
use support::{HANG_LIMIT, Server, cases, eventually, once_within};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        endings::a_killed_waiter_leaves_the_queue,
        a_waiter_looks_when_the_hold_lapses,
        after_the_body_the_lock_stays_for_exactly_the_rest,
        a_dropped_acquire_with_hold_at_least_leaves_nothing,
        a_closed_client_leaves_no_connection,
    ]
}

/// Redis sends no notification when a key expires. A waiter that only looked every four seconds would acquire the lock
/// two seconds after the end of this TTL.
async fn a_waiter_looks_when_the_hold_lapses(fixture: Fixture) {
    let (redis, locks) = (fixture.server(), connect(&fixture.server().url_with("ttl=600s")));
    once_within(Duration::from_millis(1500), async || {
        let key = fixture.key("killed");
        let (mut worker, _) = holding(2, &redis.url(), &key);
        let waiting = tokio::spawn(locks.lock(&key).acquire());
        queued(&locks, &key, 1).await;
        worker.kill();
        let (killed, left) = (Instant::now(), redis.ask(&["PTTL", &key]).number());
        granted(waiting).await.release().await.unwrap();
        // If the machine was so busy that it had lapsed before, the round shows nothing.
        let lapse = u64::try_from(left).ok().map(Duration::from_millis);
        lapse.map_or(Duration::MAX, |lapse| killed.elapsed().saturating_sub(lapse))
    })
    .await;
}

/// Whatever the TTL is, and whether the process lives or not.
async fn after_the_body_the_lock_stays_for_exactly_the_rest(fixture: Fixture) {
    const LEAST: Duration = Duration::from_secs(20);
    let (redis, key, locks) = (fixture.server(), fixture.key("least"), connect(&fixture.server().url_with("ttl=600s")));
    let begun = Instant::now();
    locks.lock(&key).hold_at_least(LEAST).run(|_| async {}).await.unwrap();
    let left = Duration::from_millis(redis.ask(&["PTTL", &key]).number().try_into().unwrap());
    assert!(left <= LEAST && left + begun.elapsed() >= LEAST, "{left:?}");
    assert!(locks.lock(&key).try_acquire().await.unwrap().is_none());
    // Of what is left, nothing is renewed, not even when the session is closed.
    locks.close().await;
    let left = Duration::from_millis(redis.ask(&["PTTL", &key]).number().try_into().unwrap());
    assert!(left <= LEAST && left + begun.elapsed() >= LEAST, "{left:?}");
    let next = connect(&redis.url()).lock(&key).wait(HANG_LIMIT).acquire().await.unwrap();
    // Redis counts in whole milliseconds.
    assert!(begun.elapsed() + Duration::from_millis(2) >= LEAST, "free after {:?}", begun.elapsed());
    next.release().await.unwrap();
    nothing_is_left(&*redis, &key).await;
}

/// Dropped at every step, also while the store is asked to keep the lock for an hour.
async fn a_dropped_acquire_with_hold_at_least_leaves_nothing(fixture: Fixture) {
    const ACQUIRES: u32 = 60;
    let (redis, key) = (fixture.server(), fixture.key("k"));
    let (proxy, locks) = behind_proxy(&*redis, "ttl=600s&connect_timeout=60s").await;
    proxy.set(Mode::Delay(Duration::from_millis(20)));
    let begun = Instant::now();
    drop(locks.lock(format!("{key}/warm")).acquire().await.unwrap());
    let acquired = begun.elapsed();
    let mut came_through = Vec::new();
    for number in 0..ACQUIRES {
        let name = format!("{key}/{number}.");
        let acquiring = locks.lock(&name).hold_at_least(Duration::from_secs(3600)).acquire();
        if tokio::time::timeout(acquired * 3 * number / ACQUIRES, acquiring).await.is_ok() {
            came_through.push(name);
        }
    }
    eventually(async || {
        let mut left = redis.left(&key);
        left.retain(|left| !came_through.iter().any(|name| left.contains(name.as_str())));
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
    assert!(came_through.len() < ACQUIRES.try_into().unwrap(), "none was dropped on its way");
}

async fn a_closed_client_leaves_no_connection(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    for _ in 0..20 {
        let (ours, theirs) = (connect(&redis.url()), connect(&redis.url()));
        let watch = ours.watch("").await.unwrap();
        let guard = ours.lock("k").acquire().await.unwrap();
        let waiting = tokio::spawn(theirs.lock("k").acquire());
        queued(&ours, "k", 1).await;
        drop((watch, guard));
        drop(granted(waiting).await);
        ours.close().await;
        theirs.close().await;
    }
    eventually(async || match redis.ask(&["CLIENT", "LIST"]).text().unwrap() {
        // That of the question.
        clients if clients.lines().count() == 1 => Ok(()),
        clients => Err(clients),
    })
    .await;
}
