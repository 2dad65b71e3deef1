//! Other clients of Redis: they exclude us and we exclude them.

use crate::{SOON, Store, client, nothing_is_left, stands_in_line};
use distributed_locks::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use support::child::Child;
use support::redis::Answer;

/// redis-py's own lock: it says `holding`, and gives the lock back when it is told to.
const REDIS_PY: &str = "
import sys, redis
port, name = int(sys.argv[1]), sys.argv[2]
lock = redis.Redis(port=port).lock(name, timeout=20, sleep=0.02)
print('waiting', flush=True)
assert lock.acquire(blocking=True)
print('holding', flush=True)
sys.stdin.readline()
lock.release()
print('released', flush=True)
";

fn redis_py(store: &Store, key: &str) -> Child {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/servers/redis-py");
    assert!(package.exists(), "redis-py is not installed: `make servers`");
    let port = store.redis().address().port().to_string();
    let mut python = Command::new("python3");
    Child::start(python.env("PYTHONPATH", package).args(["-c", REDIS_PY, &port, key]))
}

pub(crate) async fn redis_py_excludes_us(store: Store) {
    let (key, locks) = (store.key("k"), client(&store));
    let mut other = redis_py(&store, &key);
    other.expect_line("holding", SOON);
    let busy = locks.lock(&key).wait(Duration::ZERO).acquire().await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy);
    assert!(!busy.holder().unwrap().is_known(), "{busy}");
    let waiting = tokio::spawn(locks.lock(&key).acquire());
    stands_in_line(&locks, &key, 1).await;
    assert_eq!(locks.inspect(&key).await.unwrap().unwrap().holders.len(), 1);
    assert!(!waiting.is_finished());
    other.say("enough");
    other.expect_line("released", SOON);
    let released = Instant::now();
    waiting.await.unwrap().unwrap().release().await.unwrap();
    assert!(released.elapsed() < Duration::from_secs(1), "found to be free after {:?}", released.elapsed());
    nothing_is_left(&store.redis(), &key).await;
}

pub(crate) async fn we_exclude_redis_py(store: Store) {
    let (key, locks) = (store.key("k"), client(&store));
    let guard = locks.lock(&key).acquire().await.unwrap();
    let mut other = redis_py(&store, &key);
    other.expect_line("waiting", SOON);
    assert!(other.is_silent_about("holding", Duration::from_millis(300)));
    guard.check().unwrap();
    guard.release().await.unwrap();
    other.expect_line("holding", SOON);
    assert!(locks.lock(&key).try_acquire().await.unwrap().is_none());
    other.say("enough");
    other.expect_line("released", SOON);
    assert!(other.wait(SOON).success());
}

/// What ShedLock and many scripts do: `true` if it took the lock.
fn shed_lock(store: &Store, key: &str, millis: &str) -> bool {
    store.redis().ask(&["SET", key, "ADDED:2026@host", "PX", millis, "NX"]) != Answer::Nil
}

pub(crate) async fn shed_lock_excludes_us_until_it_expires(store: Store) {
    let (key, locks) = (store.key("k"), client(&store));
    assert!(shed_lock(&store, &key, "1500"));
    let begun = Instant::now();
    assert!(locks.lock(&key).try_acquire().await.unwrap().is_none());
    let guard = locks.lock(&key).wait(SOON).acquire().await.unwrap();
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_millis(1400) && took < Duration::from_millis(2000),
        "free after 1.5 s, had after {took:?}"
    );
    guard.release().await.unwrap();
}

pub(crate) async fn we_exclude_shed_lock(store: Store) {
    let (key, locks) = (store.key("k"), client(&store));
    let guard = locks.lock(&key).acquire().await.unwrap();
    assert!(!shed_lock(&store, &key, "1500"));
    guard.check().unwrap();
    guard.release().await.unwrap();
    assert!(shed_lock(&store, &key, "1500"));
}

/// Its lock is a hash; to us it is somebody unknown, and no error.
pub(crate) async fn redisson_excludes_us(store: Store) {
    let (redis, key, locks) = (store.redis(), store.key("k"), client(&store));
    redis.ask(&["HSET", &key, "8743c9c0:1", "1"]);
    redis.ask(&["PEXPIRE", &key, "30000"]);
    let busy = locks.lock(&key).wait(Duration::ZERO).acquire().await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy);
    assert!(!busy.holder().unwrap().is_known(), "{busy}");
    let waiting = tokio::spawn(locks.lock(&key).acquire());
    stands_in_line(&locks, &key, 1).await;
    redis.ask(&["DEL", &key]);
    let guard = waiting.await.unwrap().unwrap();
    assert!(redis.try_ask(&["HINCRBY", &key, "8743c9c0:1", "1"]).unwrap_err().contains("WRONGTYPE"));
    guard.release().await.unwrap();
}

/// Who asks again and again has no chance against those who wait: the lock is never free between them.
pub(crate) async fn nobody_gets_between_those_in_line(store: Store) {
    let (key, locks) = (store.key("k"), client(&store));
    let guard = locks.lock(&key).acquire().await.unwrap();
    let mut line = Vec::new();
    for waiters in 1..=20 {
        let lock = client(&store).lock(&key);
        line.push(tokio::spawn(lock.run(|guard| async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            guard.check().unwrap();
        })));
        stands_in_line(&locks, &key, waiters).await;
    }
    let greedy = tokio::task::spawn_blocking({
        let (store, key) = (store.clone(), key.clone());
        move || {
            let mut tries = 0;
            while !shed_lock(&store, &key, "5000") {
                tries += 1;
            }
            (tries, store.redis().ask(&["EXISTS", &format!("{{{key}}}:queue")]))
        }
    });
    guard.release().await.unwrap();
    for waiter in line {
        tokio::time::timeout(SOON, waiter).await.unwrap().unwrap().unwrap();
    }
    let (tries, waiting) = greedy.await.unwrap();
    assert_eq!(waiting, Answer::Number(0), "it got in before those who waited, at try {tries}");
    assert!(tries > 20, "it tried only {tries} times");
}

pub(crate) async fn a_key_without_an_expiry_is_called_by_name(store: Store) {
    let (redis, key, locks) = (store.redis(), store.key("k"), client(&store));
    redis.ask(&["SET", &key, "stuck"]);
    for wait in [Duration::ZERO, Duration::from_millis(200)] {
        let error = locks.lock(&key).wait(wait).acquire().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Busy | ErrorKind::Timeout), "{error}");
        assert!(error.to_string().contains(&format!("redis-cli del '{key}'")), "{error}");
    }
    redis.ask(&["DEL", &key]);
    locks.lock(&key).acquire().await.unwrap().release().await.unwrap();
}
