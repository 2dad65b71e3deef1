//! What goes wrong on the way while a lock is wanted, held or released.

use crate::{Case, Fixture};
use distributed_locks::store::{Entry, WhenBusy};
use distributed_locks::{ErrorKind, Holder, Key};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::proxy::Mode;
use support::redis::Setup;
use support::scenarios::{
    acquire_and_release, behind_proxy, client, connect, faults, granted, nothing_is_left, queued,
};
use support::stores::redis_at;
use support::{HANG_LIMIT, cases, eventually, in_time, once_within};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        faults::a_late_request_is_withdrawn,
        a_request_that_arrives_after_its_withdrawal_is_withdrawn,
        a_hand_off_is_notified_at_once,
        a_position_in_the_queue_is_kept_beyond_the_ttl,
        a_forgotten_script_is_loaded_again,
        connections_that_are_killed_are_made_anew,
        a_turn_without_a_notification_is_found,
        a_waiter_rides_out_a_silent_network,
        a_waiter_whose_queue_was_deleted_enters_again,
        an_entry_whose_queue_is_deleted_while_it_enters_loses_nothing_else,
    ]
}

/// How often a waiter looks at the queue, at the most, while it has reason to expect a notification.
const BETWEEN_LOOKS: Duration = Duration::from_secs(4);

/// The nastiest order: the first attempt is carried out when everything is long over.
async fn a_request_that_arrives_after_its_withdrawal_is_withdrawn(fixture: Fixture) {
    let (redis, key) = (fixture.server(), fixture.key("k"));
    let (proxy, locks) = behind_proxy(&*redis, "ttl=6s&connect_timeout=2s").await;
    proxy.set(Mode::Unanswered);
    // Longer than an attempt: the first one times out.
    let acquiring = tokio::spawn(locks.lock(&key).wait(Duration::from_secs(2)).acquire());
    let token = eventually(async || redis.ask(&["GET", &key]).text().ok_or("not yet there")).await;
    let error = acquiring.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    proxy.set(Mode::Pass);
    nothing_is_left(&*redis, &key).await;
    // It would lapse in ten minutes; one of the next renewals finds it.
    redis.ask(&["SET", &key, &token, "PX", "600000"]);
    nothing_is_left(&*redis, &key).await;
}

/// The median, in round trips: whatever the machine is busy with, both take longer.
async fn a_hand_off_is_notified_at_once(fixture: Fixture) {
    let (key, ours, theirs) = (fixture.key("k"), client(&fixture), client(&fixture));
    let mut guard = ours.lock(&key).acquire().await.unwrap();
    let (mut hand_offs, mut round_trips) = (Vec::new(), Vec::new());
    for round in 0..20 {
        let (holder, waiter) = if round % 2 == 0 { (&ours, &theirs) } else { (&theirs, &ours) };
        let waiting = tokio::spawn(waiter.lock(&key).acquire());
        queued(holder, &key, 1).await;
        let begun = Instant::now();
        guard.release().await.unwrap();
        guard = granted(waiting).await;
        hand_offs.push(begun.elapsed());
        let begun = Instant::now();
        assert!(holder.lock(&key).try_acquire().await.unwrap().is_none());
        round_trips.push(begun.elapsed());
    }
    guard.release().await.unwrap();
    hand_offs.sort();
    round_trips.sort();
    let limit = (20 * round_trips[10]).min(BETWEEN_LOOKS / 2);
    assert!(hand_offs[10] < limit, "hand-offs: {hand_offs:?}, round trips: {round_trips:?}");
}

async fn a_position_in_the_queue_is_kept_beyond_the_ttl(fixture: Fixture) {
    const TTL: Duration = Duration::from_secs(5);
    let (redis, key, ours, theirs) = (fixture.server(), fixture.key("k"), client(&fixture), client(&fixture));
    let guard = ours.lock(&key).acquire().await.unwrap();
    let waiting = tokio::spawn(theirs.lock(&key).ttl(TTL).acquire());
    queued(&ours, &key, 1).await;
    let queue = format!("{{{key}}}:queue");
    let position = redis.ask(&["ZRANGE", &queue, "0", "-1", "WITHSCORES"]);
    tokio::time::sleep(2 * TTL + Duration::from_secs(1)).await;
    assert_eq!(redis.ask(&["ZRANGE", &queue, "0", "-1", "WITHSCORES"]), position, "another position than before");
    guard.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
    nothing_is_left(&*redis, &key).await;
}

async fn a_forgotten_script_is_loaded_again(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let locks = connect(&redis.url());
    let guard = locks.lock("k").acquire().await.unwrap();
    for _ in 0..3 {
        redis.ask(&["SCRIPT", "FLUSH"]);
        acquire_and_release(&locks, "other").await;
    }
    redis.ask(&["SCRIPT", "FLUSH"]);
    guard.release().await.unwrap();
    nothing_is_left(&redis, "").await;
}

async fn connections_that_are_killed_are_made_anew(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let (ours, theirs) = (connect(&redis.url()), connect(&redis.url()));
    let mut guard = ours.lock("k").acquire().await.unwrap();
    let mut took = Vec::new();
    for round in 0..5 {
        let (holder, waiter) = if round % 2 == 0 { (&ours, &theirs) } else { (&theirs, &ours) };
        let waiting = tokio::spawn(waiter.lock("k").acquire());
        queued(holder, "k", 1).await;
        for kind in ["normal", "pubsub"] {
            redis.ask(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]);
        }
        let killed = Instant::now();
        guard.release().await.unwrap();
        guard = granted(waiting).await;
        took.push(killed.elapsed());
    }
    guard.release().await.unwrap();
    nothing_is_left(&redis, "").await;
    assert!(took.iter().any(|took| *took < BETWEEN_LOOKS * 3 / 4), "found by looks only: {took:?}");
}

/// The server may not notify at all, by its rules of access: then those in the queue find out by looking more often.
async fn a_turn_without_a_notification_is_found(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    redis.ask(&["ACL", "SETUSER", "mute", "on", ">secret", "~*", "resetchannels", "+@all"]);
    let url = format!("redis://mute:secret@{}", redis.address());
    let (ours, theirs) = (connect(&url), connect(&url));
    once_within(BETWEEN_LOOKS / 2, async || {
        let guard = ours.lock("k").acquire().await.unwrap();
        let waiting = tokio::spawn(theirs.lock("k").acquire());
        queued(&ours, "k", 1).await;
        guard.release().await.unwrap();
        let released = Instant::now();
        granted(waiting).await.release().await.unwrap();
        released.elapsed()
    })
    .await;
    assert_eq!(redis.counts().of("subscribe"), 0, "it may not subscribe");
}

/// By hand, or evicted by a server that should not evict. The entry of the waiter itself is still there.
async fn a_waiter_whose_queue_was_deleted_enters_again(fixture: Fixture) {
    let (redis, key, ours, theirs) = (fixture.server(), fixture.key("k"), client(&fixture), client(&fixture));
    let guard = ours.lock(&key).acquire().await.unwrap();
    let waiting = tokio::spawn(theirs.lock(&key).acquire());
    queued(&ours, &key, 1).await;
    redis.ask(&["DEL", &format!("{{{key}}}:queue")]);
    guard.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
    nothing_is_left(&*redis, &key).await;
}

/// The answer to the first attempt is lost, and the second one finds that the queue has been deleted.
async fn an_entry_whose_queue_is_deleted_while_it_enters_loses_nothing_else(fixture: Fixture) {
    let (redis, key, theirs) = (fixture.server(), fixture.key("k"), client(&fixture));
    let queue = format!("{{{key}}}:queue");
    let (proxy, ours) = behind_proxy(&*redis, "connect_timeout=60s").await;
    let session = redis_at(&proxy.addr().to_string(), String::new()).open(Duration::from_secs(90)).await.unwrap();
    let (held, other) = (theirs.lock(&key).acquire().await.unwrap(), ours.lock(fixture.key("other")).acquire().await);
    let other = other.unwrap();
    let delete_meanwhile = async || {
        eventually(async || match redis.ask(&["DEL", &queue]).number() {
            0 => Err("not yet there"),
            deleted => Ok(deleted),
        })
        .await;
        proxy.reset();
    };
    let entry = Arc::new(Entry::new(Key::new(&key).unwrap(), 7, Holder::unknown().into()));
    proxy.set(Mode::Unanswered);
    let entering = tokio::spawn(session.enter(entry.clone(), WhenBusy::Queue));
    delete_meanwhile().await;
    let error = in_time(entering).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("deleted in Redis while"), "{error}");
    session.leave(entry).await.unwrap();
    session.close().await.unwrap();
    // A client begins anew with another entry, and goes on with what it holds. It was disconnected, too.
    acquire_and_release(&ours, &fixture.key("connects")).await;
    proxy.set(Mode::Unanswered);
    let waiting = tokio::spawn(ours.lock(&key).acquire());
    delete_meanwhile().await;
    queued(&theirs, &key, 1).await;
    other.check().unwrap();
    held.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
    other.release().await.unwrap();
    nothing_is_left(&*redis, &key).await;
}

async fn a_waiter_rides_out_a_silent_network(fixture: Fixture) {
    let (redis, key, other) = (fixture.server(), fixture.key("k"), client(&fixture));
    let (proxy, locks) = behind_proxy(&*redis, "ttl=30s&connect_timeout=2s").await;
    let guard = other.lock(&key).acquire().await.unwrap();
    let waiting = tokio::spawn(locks.lock(&key).wait(HANG_LIMIT).acquire());
    queued(&other, &key, 1).await;
    proxy.set(Mode::Silent);
    guard.release().await.unwrap();
    // It has been granted the lock, and cannot be notified.
    eventually(async || match redis.ask(&["EXISTS", &format!("{{{key}}}:queue")]).number() {
        0 => Ok(()),
        there => Err(there),
    })
    .await;
    assert!(!waiting.is_finished());
    // Silence for longer than an attempt.
    tokio::time::sleep(Duration::from_secs(2)).await;
    proxy.set(Mode::Pass);
    let guard = granted(waiting).await;
    guard.check().unwrap();
    guard.release().await.unwrap();
    nothing_is_left(&*redis, &key).await;
}
