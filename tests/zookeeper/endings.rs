//! However a body ends, nothing of it stays.

use crate::{Case, Fixture};
use std::time::{Duration, Instant};
use support::scenarios::rights::without_a_right_to_one_lock_the_other_is_free;
use support::scenarios::{acquire_and_release, client, connect, endings, granted, queued};
use support::zookeeper::{Setup, ZooKeeper};
use support::{Server, cases, once_within};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        endings::a_killed_waiter_leaves_the_queue,
        an_extended_hold_goes_on_beyond_its_least_time,
        an_extended_lock_stays_though_its_client_closes_late,
        extended_locks_stay_though_the_first_of_them_cannot,
        a_right_to_one_of_two_locks_that_is_missing_keeps_nobody_from_the_other,
        a_hold_at_least_below_the_ttl_costs_nothing_until_the_body_ends,
        a_process_that_ends_after_its_body_keeps_the_lock_for_the_rest_only,
    ]
}

/// The entry moves to a session of its own and back, and stays first in the queue under one name.
async fn an_extended_hold_goes_on_beyond_its_least_time(fixture: Fixture) {
    const TTL: Duration = Duration::from_secs(12);
    let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    let guard = locks.lock(&key).ttl(TTL).hold_at_least(TTL * 2).acquire().await.unwrap();
    let plain = locks.lock(fixture.key("plain")).ttl(TTL).acquire().await.unwrap();
    // Until a renewal would cover it for longer.
    assert_ne!(server.owner(&key), server.owner(plain.key().as_str()));
    let entry = server.left(&key);
    let waiting = tokio::spawn(client(&fixture).lock(&key).acquire());
    queued(&locks, &key, 1).await;
    tokio::time::sleep(TTL * 2 + Duration::from_secs(2)).await;
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

/// It is in the session that is renewed, and must outlive that.
async fn an_extended_lock_stays_though_its_client_closes_late(fixture: Fixture) {
    // On a busy machine the client may be closed too late.
    let (ttl, least) = (Duration::from_secs(40), Duration::from_secs(10));
    once_within(least, async || {
        let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
        let plain = locks.lock(fixture.key("plain")).ttl(ttl).acquire().await.unwrap();
        let begun = Instant::now();
        let guard = locks.lock(&key).ttl(ttl).hold_at_least(least).acquire().await.unwrap();
        assert_eq!(server.owner(&key), server.owner(plain.key().as_str()));
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

/// Somebody has taken the right to create nodes in one queue: at the close its entry cannot be moved, and the others are.
async fn extended_locks_stay_though_the_first_of_them_cannot(fixture: Fixture) {
    let (server, locks) = (fixture.server(), connect(&fixture.server().url_with("ttl=40s")));
    let (refused, key) = (fixture.key("refused"), fixture.key("k"));
    let acquire = async |key: &str| locks.lock(key).hold_at_least(Duration::from_secs(30)).acquire().await.unwrap();
    let guards = [acquire(&refused).await, acquire(&key).await];
    let session = server.owner(&key).unwrap();
    assert_eq!(server.owner(&refused).as_ref(), Some(&session), "both are in the session that is renewed");
    server.command_line(&["setAcl", &refused, "world:anyone:r"]);
    locks.close().await;
    assert!(server.owner(&key).is_some_and(|owner| owner != session), "not in a session of its own");
    drop(guards);
}

/// Nobody may create or delete nodes in one of two queues for a while.
async fn a_right_to_one_of_two_locks_that_is_missing_keeps_nobody_from_the_other(fixture: Fixture) {
    let (server, [one, two]) = (fixture.server(), ["one", "two"].map(|key| fixture.key(key)));
    let may_use = |is_allowed| {
        server.command_line(&["setAcl", &two, if is_allowed { "world:anyone:cdrwa" } else { "world:anyone:ra" }]);
    };
    let clients = [(); 2].map(|()| connect(&server.url_with("ttl=600s")));
    without_a_right_to_one_lock_the_other_is_free((&clients[0], &clients[1]), [&one, &two], may_use).await;
    assert_eq!([server.left(&one), server.left(&two)].concat(), [""; 0]);
}

/// The session lasts longer than that anyway.
async fn a_hold_at_least_below_the_ttl_costs_nothing_until_the_body_ends(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url_with("ttl=60s"));
    acquire_and_release(&locks, "/k").await;
    let before = server.zxid();
    let guard = locks.lock("/k").hold_at_least(Duration::from_secs(20)).acquire().await.unwrap();
    assert_eq!(server.zxid(), before + 1, "as without");
    drop(guard);
    locks.close().await;
}

/// On a server whose shortest session is two ticks of half a second. The process could not say that it ends.
async fn a_process_that_ends_after_its_body_keeps_the_lock_for_the_rest_only(fixture: Fixture) {
    const LEAST: Duration = Duration::from_secs(3);
    let (server, key, locks) = (fixture.server(), fixture.key("k"), connect(&fixture.server().url_with("ttl=600s")));
    let begun = Instant::now();
    locks.lock(&key).hold_at_least(LEAST).acquire().await.unwrap().release().await.unwrap();
    let lapse = server.lapse(&key);
    assert!(lapse <= ZooKeeper::lapses_after(LEAST), "it lapses in {lapse:?}, whatever becomes of this process");
    let guard = client(&fixture).lock(&key).acquire().await.unwrap();
    assert!(begun.elapsed() >= LEAST, "free after {:?}", begun.elapsed());
    guard.release().await.unwrap();
}
