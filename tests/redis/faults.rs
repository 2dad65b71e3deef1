//! What goes wrong on the way while a lock is wanted, held or given back.

use crate::{SOON, Store, client, connect, keys, nothing_is_left, stands_in_line};
use distributed_locks::{ErrorKind, Locks};
use std::time::{Duration, Instant};
use support::body::{held, lost};
use support::child::{Child, binary};
use support::eventually;
use support::proxy::{Mode, Proxy};
use support::redis::{Redis, Setup};

pub(crate) async fn a_deleted_key_stops_the_body(store: Store) {
    let (redis, key, locks) = (store.redis(), store.key("k"), client(&store));
    let body = held(&locks, &key, 3).await;
    redis.ask(&["DEL", &key]);
    let deleted = Instant::now();
    let error = lost(body).await;
    assert!(error.to_string().contains("gone from Redis"), "{error}");
    assert!(deleted.elapsed() < Duration::from_millis(1500), "noticed at the next renewal: {:?}", deleted.elapsed());
    // The client goes on.
    locks.lock(&key).acquire().await.unwrap().release().await.unwrap();
    nothing_is_left(&redis, &key).await;
}

/// A client behind a proxy whose session is there already.
async fn behind_proxy(redis: &Redis) -> (Proxy, Locks) {
    let proxy = Proxy::to(redis.address());
    let locks = connect(&format!("{}?ttl=20s&connect_timeout=2s", redis.url_at(&proxy.addr().to_string())));
    locks.lock("warm").acquire().await.unwrap().release().await.unwrap();
    (proxy, locks)
}

pub(crate) async fn a_lost_answer_to_an_acquire_leaves_nothing(store: Store) {
    let (redis, key) = (store.redis(), store.key("k"));
    let (proxy, locks) = behind_proxy(&redis).await;
    proxy.set(Mode::Unanswered);
    let error = locks.lock(&key).wait(Duration::from_millis(500)).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    eventually(SOON, async || if keys(&redis, &key).is_empty() { Err("not yet there") } else { Ok(()) }).await;
    proxy.set(Mode::Refuse);
    proxy.set(Mode::Pass);
    nothing_is_left(&redis, &key).await;
    // Not a try: the answer to the withdrawal may still be on its way.
    locks.lock(&key).wait(SOON).acquire().await.unwrap().release().await.unwrap();
}

pub(crate) async fn dropped_acquires_leave_nothing(store: Store) {
    let (redis, key, locks) = (store.redis(), store.key("k"), client(&store));
    locks.lock("warm").acquire().await.unwrap().release().await.unwrap();
    for number in 0..50_u64 {
        // From "nothing was sent" to "the answer is there": a round trip takes under a millisecond here.
        let limit = Duration::from_micros(number * 40);
        let acquiring = locks.lock(format!("{key}/{number}")).acquire();
        drop(tokio::time::timeout(limit, acquiring).await);
    }
    nothing_is_left(&redis, &key).await;
}

pub(crate) async fn a_late_request_is_withdrawn(store: Store) {
    let (redis, key) = (store.redis(), store.key("k"));
    let proxy = Proxy::to(redis.address());
    let url = redis.url_at(&proxy.addr().to_string());
    let locks = connect(&format!("{url}?ttl=6s&connect_timeout=2s"));
    let guard = locks.lock(format!("{key}/other")).acquire().await.unwrap();
    // The request is on its way, but will arrive after its sender has given it up and withdrawn it elsewhere.
    proxy.set(Mode::Silent);
    let error = locks.lock(&key).wait(Duration::from_millis(500)).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    proxy.set(Mode::Pass);
    client(&store).lock(&key).wait(SOON).acquire().await.unwrap().release().await.unwrap();
    guard.check().unwrap();
    guard.release().await.unwrap();
    nothing_is_left(&redis, &key).await;
}

/// The nastiest order: the first attempt is carried out when everything is long over.
pub(crate) async fn a_request_that_comes_after_its_withdrawal_is_withdrawn(store: Store) {
    let (redis, key) = (store.redis(), store.key("k"));
    let proxy = Proxy::to(redis.address());
    let locks = connect(&format!("{}?ttl=6s&connect_timeout=2s", redis.url_at(&proxy.addr().to_string())));
    locks.lock("warm").acquire().await.unwrap().release().await.unwrap();
    proxy.set(Mode::Unanswered);
    // Longer than an attempt: the first one is given up.
    let acquiring = tokio::spawn(locks.lock(&key).wait(Duration::from_secs(2)).acquire());
    let token = eventually(SOON, async || redis.ask(&["GET", &key]).text().ok_or("not yet there")).await;
    let error = acquiring.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    proxy.set(Mode::Pass);
    nothing_is_left(&redis, &key).await;
    redis.ask(&["SET", &key, &token, "PX", "60000"]);
    let late = Instant::now();
    nothing_is_left(&redis, &key).await;
    assert!(late.elapsed() < Duration::from_secs(4), "not with the next renewals: {:?}", late.elapsed());
}

pub(crate) async fn a_hand_off_is_told_at_once(store: Store) {
    let (key, ours, theirs) = (store.key("k"), client(&store), client(&store));
    let mut guard = ours.lock(&key).acquire().await.unwrap();
    let mut took = Vec::new();
    for round in 0..20 {
        let (holder, waiter) = if round % 2 == 0 { (&ours, &theirs) } else { (&theirs, &ours) };
        let waiting = tokio::spawn(waiter.lock(&key).acquire());
        stands_in_line(holder, &key, 1).await;
        let begun = Instant::now();
        guard.release().await.unwrap();
        guard = waiting.await.unwrap().unwrap();
        took.push(begun.elapsed());
    }
    guard.release().await.unwrap();
    took.sort();
    // Not by the first waiter's own looks, which are seconds apart while the holder can tell.
    assert!(took[10] < Duration::from_millis(50) && took[18] < Duration::from_millis(500), "{took:?}");
}

pub(crate) async fn a_place_in_line_is_kept_beyond_the_ttl(store: Store) {
    let (redis, key, ours, theirs) = (store.redis(), store.key("k"), client(&store), client(&store));
    let guard = ours.lock(&key).acquire().await.unwrap();
    let waiting = tokio::spawn(theirs.lock(&key).ttl(Duration::from_secs(3)).acquire());
    stands_in_line(&ours, &key, 1).await;
    let queue = format!("{{{key}}}:queue");
    let place = redis.ask(&["ZRANGE", &queue, "0", "-1", "WITHSCORES"]);
    // More than two of its TTLs.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(redis.ask(&["ZRANGE", &queue, "0", "-1", "WITHSCORES"]), place, "another place than before");
    guard.release().await.unwrap();
    waiting.await.unwrap().unwrap().release().await.unwrap();
    nothing_is_left(&redis, &key).await;
}

pub(crate) async fn a_forgotten_script_is_loaded_again(store: Store) {
    let redis = store.start(&Setup::default());
    let locks = connect(&redis.url());
    let guard = locks.lock("k").acquire().await.unwrap();
    for _ in 0..3 {
        redis.ask(&["SCRIPT", "FLUSH"]);
        locks.lock("other").acquire().await.unwrap().release().await.unwrap();
    }
    redis.ask(&["SCRIPT", "FLUSH"]);
    guard.release().await.unwrap();
    nothing_is_left(&redis, "").await;
}

pub(crate) async fn connections_that_are_killed_are_made_anew(store: Store) {
    let redis = store.start(&Setup::default());
    let (ours, theirs) = (connect(&redis.url()), connect(&redis.url()));
    let mut guard = ours.lock("k").acquire().await.unwrap();
    for round in 0..5 {
        let (holder, waiter) = if round % 2 == 0 { (&ours, &theirs) } else { (&theirs, &ours) };
        let waiting = tokio::spawn(waiter.lock("k").acquire());
        stands_in_line(holder, "k", 1).await;
        for kind in ["normal", "pubsub"] {
            redis.ask(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]);
        }
        let killed = Instant::now();
        guard.release().await.unwrap();
        guard = tokio::time::timeout(SOON, waiting).await.unwrap().unwrap().unwrap();
        assert!(killed.elapsed() < Duration::from_secs(3), "round {round}: {:?}", killed.elapsed());
    }
    guard.release().await.unwrap();
    nothing_is_left(&redis, "").await;
}

/// The server may not tell at all, by its rules of access: then those in line find out by asking.
pub(crate) async fn a_turn_that_nobody_told_is_found(store: Store) {
    let redis = store.start(&Setup::default());
    redis.ask(&["ACL", "SETUSER", "mute", "on", ">secret", "~*", "resetchannels", "+@all"]);
    let url = format!("redis://mute:secret@{}", redis.address());
    let (ours, theirs) = (connect(&url), connect(&url));
    let guard = ours.lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn(theirs.lock("k").acquire());
    stands_in_line(&ours, "k", 1).await;
    guard.release().await.unwrap();
    let released = Instant::now();
    tokio::time::timeout(SOON, waiting).await.unwrap().unwrap().unwrap().release().await.unwrap();
    assert!(released.elapsed() < Duration::from_secs(2), "{:?}", released.elapsed());
    assert_eq!(redis.counts().of("subscribe"), 0, "it may not subscribe");
}

pub(crate) async fn a_waiter_rides_out_a_silent_network(store: Store) {
    let (redis, key, other) = (store.redis(), store.key("k"), client(&store));
    let (proxy, locks) = behind_proxy(&redis).await;
    let guard = other.lock(&key).acquire().await.unwrap();
    let waiting = tokio::spawn(locks.lock(&key).ttl(Duration::from_secs(20)).acquire());
    stands_in_line(&other, &key, 1).await;
    proxy.set(Mode::Silent);
    guard.release().await.unwrap();
    // It has been handed the lock, and nobody could tell it.
    eventually(SOON, async || match redis.ask(&["EXISTS", &format!("{{{key}}}:queue")]).number() {
        0 => Ok(()),
        there => Err(there),
    })
    .await;
    assert!(!waiting.is_finished());
    tokio::time::sleep(Duration::from_secs(2)).await;
    proxy.set(Mode::Pass);
    let guard = tokio::time::timeout(SOON, waiting).await.unwrap().unwrap().unwrap();
    guard.check().unwrap();
    guard.release().await.unwrap();
    nothing_is_left(&redis, &key).await;
}

pub(crate) async fn a_paused_process_stops_on_resume(store: Store) {
    let (redis, key, locks) = (store.redis(), store.key("k"), client(&store));
    let mut worker = Child::start(binary("worker").args(["hold", "2", &redis.url(), &key]));
    worker.expect_line("start", SOON);
    worker.pause();
    let guard = locks.lock(&key).wait(SOON).acquire().await.unwrap();
    worker.resume();
    worker.expect_line("end", Duration::from_secs(2));
    worker.expect_line("refused", Duration::from_secs(5));
    guard.check().unwrap();
    guard.release().await.unwrap();
}
