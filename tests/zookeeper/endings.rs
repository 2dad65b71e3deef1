//! However a body ends, nothing of it stays.

use crate::{Case, Fixture};
use std::time::{Duration, Instant};
use support::scenarios::{acquire_and_release, client, endings, granted, queued};
use support::{Server, cases, eventually, once_within};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        endings::a_killed_waiter_leaves_the_queue,
        an_extended_hold_goes_on_beyond_its_least_time,
        an_extended_lock_stays_though_its_client_closes_late,
    ]
}

/// The entry moves to a session of its own and back, and stays first in the queue under one name.
async fn an_extended_hold_goes_on_beyond_its_least_time(fixture: Fixture) {
    const TTL: Duration = Duration::from_secs(20);
    let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    let guard = locks.lock(&key).ttl(TTL).hold_at_least(TTL / 2).acquire().await.unwrap();
    let plain = locks.lock(fixture.key("plain")).ttl(TTL).acquire().await.unwrap();
    // Until the next renewal, which is due in six seconds.
    assert_ne!(server.owner(&key), server.owner(plain.key().as_str()));
    let entry = server.left(&key);
    let waiting = tokio::spawn(client(&fixture).lock(&key).acquire());
    queued(&locks, &key, 1).await;
    tokio::time::sleep(TTL + Duration::from_secs(2)).await;
    guard.check().unwrap();
    assert!(!waiting.is_finished(), "two hold `{key}`");
    assert_eq!(server.left(&key)[0], entry[0]);
    assert_eq!(
        server.owner(&entry[0]),
        server.owner(plain.key().as_str()),
        "not moved back to the session that is renewed"
    );
    guard.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
    assert_eq!(server.left(&key), [""; 0]);
}

/// It has moved back to the session that is renewed, and must outlive that as well.
async fn an_extended_lock_stays_though_its_client_closes_late(fixture: Fixture) {
    // It moves back with the first renewal, after seven seconds. On a busy machine the client may be closed too late.
    let (ttl, least) = (Duration::from_secs(20), Duration::from_secs(17));
    once_within(least, async || {
        let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
        let plain = locks.lock(fixture.key("plain")).ttl(ttl).acquire().await.unwrap();
        let begun = Instant::now();
        let guard = locks.lock(&key).ttl(ttl).hold_at_least(least).acquire().await.unwrap();
        eventually(async || {
            if server.owner(&key) == server.owner(plain.key().as_str()) { Ok(()) } else { Err("not moved back") }
        })
        .await;
        locks.close().await;
        drop(guard);
        let closed = begun.elapsed();
        if closed >= least {
            return closed;
        }
        assert_eq!(server.left(&key).len(), 1);
        acquire_and_release(&client(&fixture), &key).await;
        assert!(begun.elapsed() >= least, "free after {:?}, at least {least:?}", begun.elapsed());
        closed
    })
    .await;
}
