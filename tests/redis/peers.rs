//! Other clients of Redis: they exclude us and we exclude them.

use crate::{Case, Fixture};
use distributed_locks::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::child::Child;
use support::peers::{Driver, Peer};
use support::redis::Answer;
use support::scenarios::peers::{ForOneLock, Release, Waits, each_excludes_the_other};
use support::scenarios::peers::{a_killed_one_is_free_after_its_ttl, it_has_the_lock_after_our_ttl};
use support::scenarios::{acquire_and_release, bad_input, client, granted, nothing_is_left, queued};
use support::{HANG_LIMIT, cases, eventually, in_time, once_within};

mod redisson;
mod shedlock;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = cases![
        redis_py_excludes_us_and_we_redis_py,
        a_foreign_release_is_found_soon,
        shed_lock_excludes_us_until_it_expires,
        we_exclude_shed_lock,
        redisson_excludes_us,
        a_client_that_polls_does_not_overtake_the_queue,
        a_key_without_an_expiry_is_named,
        a_task_of_ours_has_its_turns_beside_twenty_that_poll,
    ];
    cases.push(Case::new("peers::either_is_killed", either_is_killed).with(Peer::RedisPy));
    cases.extend(redisson::cases());
    cases.extend(shedlock::cases());
    cases
}

/// redis-py's own lock, until the end of the input.
const REDIS_PY: &str = "
import sys, redis
port, name = int(sys.argv[1]), sys.argv[2]
lock = redis.Redis(port=port).lock(name, timeout=600, sleep=0.02)
print('waiting', flush=True)
assert lock.acquire(blocking=True)
print('holding', flush=True)
sys.stdin.read()
lock.release()
";

fn redis_py(fixture: &Fixture, key: &str) -> ForOneLock {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/servers/redis-py");
    assert!(package.exists(), "redis-py is not installed: `make servers`");
    let port = fixture.server().address().port().to_string();
    let mut python = Command::new("python3");
    let process = Child::start(python.env("PYTHONPATH", package).args(["-c", REDIS_PY, &port, key]));
    ForOneLock { process, release: Some(Release::EndOfInput) }
}

async fn redis_py_excludes_us_and_we_redis_py(fixture: Fixture) {
    let (key, locks) = (fixture.key("k"), client(&fixture));
    each_excludes_the_other(&locks, &key, Waits::ByPolling, || redis_py(&fixture, &key)).await;
    nothing_is_left(&*fixture.server(), &key).await;
}

async fn either_is_killed(fixture: Fixture) {
    const TTL: Duration = Duration::from_secs(3);
    let (key, locks) = (fixture.key("k"), client(&fixture));
    let driver = Driver::start(Peer::RedisPy);
    let begin = || {
        let slot = driver.slot();
        slot.say(&format!("lock lock {} {key} {}", fixture.server().endpoint(), TTL.as_millis()));
        slot
    };
    it_has_the_lock_after_our_ttl(&fixture.server().url(), &key, begin).await;
    a_killed_one_is_free_after_its_ttl(&locks, &key, TTL, &begin()).await;
}

/// It sends no notification. Behind a lock of ours, a waiter would look every four seconds.
async fn a_foreign_release_is_found_soon(fixture: Fixture) {
    let (redis, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    once_within(Duration::from_secs(2), async || {
        redis.ask(&["SET", &key, "foreign", "PX", "600000", "NX"]);
        let waiting = tokio::spawn(locks.lock(&key).acquire());
        queued(&locks, &key, 1).await;
        redis.ask(&["DEL", &key]);
        let released = Instant::now();
        granted(waiting).await.release().await.unwrap();
        released.elapsed()
    })
    .await;
}

/// What ShedLock and many scripts do: `true` if it acquired the lock.
fn shed_lock(fixture: &Fixture, key: &str, millis: &str) -> bool {
    fixture.server().ask(&["SET", key, "ADDED:2026@host", "PX", millis, "NX"]) != Answer::Nil
}

async fn shed_lock_excludes_us_until_it_expires(fixture: Fixture) {
    let (redis, locks) = (fixture.server(), client(&fixture));
    let expires = Duration::from_millis(1500);
    once_within(Duration::from_secs(1), async || {
        let key = fixture.key("k");
        assert!(shed_lock(&fixture, &key, "600000"));
        assert!(locks.lock(&key).try_acquire().await.unwrap().is_none());
        let begun = Instant::now();
        redis.ask(&["PEXPIRE", &key, "1500"]);
        let guard = locks.lock(&key).wait(HANG_LIMIT).acquire().await.unwrap();
        let took = begun.elapsed();
        // Redis counts in whole milliseconds.
        assert!(took + Duration::from_millis(2) >= expires, "it has not expired after {took:?}");
        guard.release().await.unwrap();
        took.saturating_sub(expires)
    })
    .await;
}

async fn we_exclude_shed_lock(fixture: Fixture) {
    let (key, locks) = (fixture.key("k"), client(&fixture));
    let guard = locks.lock(&key).acquire().await.unwrap();
    assert!(!shed_lock(&fixture, &key, "1500"));
    guard.check().unwrap();
    guard.release().await.unwrap();
    assert!(shed_lock(&fixture, &key, "1500"));
}

/// Its lock is a hash; to us its holder is unknown, and that is no error.
async fn redisson_excludes_us(fixture: Fixture) {
    let (redis, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    redis.ask(&["HSET", &key, "8743c9c0:1", "1"]);
    redis.ask(&["PEXPIRE", &key, "600000"]);
    let busy = locks.lock(&key).wait(Duration::ZERO).acquire().await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy);
    assert!(!busy.holder().unwrap().is_known(), "{busy}");
    let waiting = tokio::spawn(locks.lock(&key).acquire());
    queued(&locks, &key, 1).await;
    redis.ask(&["DEL", &key]);
    let guard = granted(waiting).await;
    assert!(redis.try_ask(&["HINCRBY", &key, "8743c9c0:1", "1"]).unwrap_err().contains("WRONGTYPE"));
    guard.release().await.unwrap();
}

/// It has no chance against those who wait: the lock is never free between them.
async fn a_client_that_polls_does_not_overtake_the_queue(fixture: Fixture) {
    let (key, locks) = (fixture.key("k"), client(&fixture));
    let guard = locks.lock(&key).acquire().await.unwrap();
    let tries = Arc::new(AtomicU64::new(0));
    let mut waiting = Vec::new();
    for waiters in 1..=20 {
        let (lock, tries) = (client(&fixture).lock(&key), tries.clone());
        waiting.push(tokio::spawn(lock.run(|guard| async move {
            // Each holds for two of its tries: one may have begun before.
            let begun = tries.load(Ordering::Relaxed);
            while tries.load(Ordering::Relaxed) < begun + 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            guard.check().unwrap();
        })));
        queued(&locks, &key, waiters).await;
    }
    let polling = tokio::task::spawn_blocking({
        let (fixture, key, tries) = (fixture.clone(), key.clone(), tries.clone());
        move || {
            while !shed_lock(&fixture, &key, "600000") {
                tries.fetch_add(1, Ordering::Relaxed);
            }
            fixture.server().ask(&["EXISTS", &format!("{{{key}}}:queue")])
        }
    });
    guard.release().await.unwrap();
    for waiter in waiting {
        in_time(waiter).await.unwrap().unwrap();
    }
    let queue = polling.await.unwrap();
    let tries = tries.load(Ordering::Relaxed);
    assert_eq!(queue, Answer::Number(0), "it got in before those who waited, at try {tries}");
    assert!(tries >= 40, "it tried only {tries} times");
}

async fn a_key_without_an_expiry_is_named(fixture: Fixture) {
    let (redis, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    redis.ask(&["SET", &key, "stuck"]);
    bad_input::what_blocks_for_ever_is_named(&locks, &key, &[&format!("redis-cli del '{key}'")]).await;
    redis.ask(&["DEL", &key]);
    acquire_and_release(&locks, &key).await;
}

/// One that only looked every 200 ms had one turn in 370 beside such threads.
async fn a_task_of_ours_has_its_turns_beside_twenty_that_poll(fixture: Fixture) {
    const TURNS: u64 = 30;
    let (key, locks) = (fixture.key("k"), client(&fixture));
    let (theirs, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let polling = (0..20).map(|_| {
        let (fixture, key, theirs, is_over) = (fixture.clone(), key.clone(), theirs.clone(), is_over.clone());
        std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                if shed_lock(&fixture, &key, "600000") {
                    std::thread::sleep(Duration::from_millis(5));
                    theirs.fetch_add(1, Ordering::Relaxed);
                    fixture.server().ask(&["DEL", &key]);
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        })
    });
    let polling: Vec<_> = polling.collect();
    eventually(async || if theirs.load(Ordering::Relaxed) > 0 { Ok(()) } else { Err("no turn of theirs") }).await;
    let before = theirs.load(Ordering::Relaxed);
    for _ in 0..TURNS {
        in_time(locks.lock(&key).run(async |_| tokio::time::sleep(Duration::from_millis(5)).await)).await.unwrap();
    }
    let theirs = theirs.load(Ordering::Relaxed) - before;
    is_over.store(true, Ordering::Relaxed);
    polling.into_iter().for_each(|thread| thread.join().unwrap());
    println!("{TURNS} turns of ours, and {theirs} of theirs");
    assert!(theirs < TURNS * 80, "{theirs} turns of theirs, {TURNS} of ours");
}
