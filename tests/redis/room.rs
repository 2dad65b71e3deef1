//! How much room there is, and what stays in it.

use crate::{Case, Fixture};
use distributed_locks::{ErrorKind, Guard, Locks};
use std::time::Duration;
use support::redis::{Redis, Setup};
use support::scenarios::{acquire_and_release, chain, connect, granted, queued};
use support::{HANG_LIMIT, cases, eventually, in_time};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        holds_are_renewed_where_there_is_no_room_however_many_wait,
        where_there_is_no_room_locks_are_released_and_none_is_granted,
        fences_grow_although_the_clock_was_set_back,
        a_user_without_the_namespaces_fence_has_fences_that_grow;
        slow:
        one_key_stays_of_ten_thousand_locks,
        every_lock_is_listed_among_a_million_keys,
    ]
}

fn full(redis: &Redis) {
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
}

fn has_room(redis: &Redis) {
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
}

/// `maxmemory` with `noeviction`, as docs/stores.md asks for.
async fn holds_are_renewed_where_there_is_no_room_however_many_wait(fixture: Fixture) {
    const TTL: Duration = Duration::from_secs(8);
    let redis = fixture.start(&Setup::default());
    let (other, ours) = (connect(&redis.url_with("ttl=600s")), connect(&redis.url()));
    let (mut theirs, mut waiting) = (Vec::new(), Vec::new());
    for number in 0..8 {
        let key = format!("w/{number}");
        theirs.push(other.lock(&key).acquire().await.unwrap());
        waiting.push(tokio::spawn(ours.lock(&key).ttl(TTL).acquire()));
        queued(&other, &key, 1).await;
    }
    let mine = ours.lock("mine").ttl(TTL).acquire().await.unwrap();
    full(&redis);
    tokio::time::sleep(2 * TTL).await;
    mine.check().unwrap();
    assert_eq!(ours.lock("w/0").wait(Duration::from_secs(1)).acquire().await.unwrap_err().kind(), ErrorKind::Timeout);
    for guard in theirs {
        guard.release().await.unwrap();
    }
    for waiter in waiting {
        granted(waiter).await.release().await.unwrap();
    }
    mine.release().await.unwrap();
    eventually(async || match redis.all_keys() {
        keys if keys.is_empty() => Ok(()),
        keys => Err(keys),
    })
    .await;
}

async fn where_there_is_no_room_locks_are_released_and_none_is_granted(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let locks = connect(&redis.url_with("connect_timeout=2s"));
    let held = locks.lock("held").acquire().await.unwrap();
    let least = locks.lock("least").hold_at_least(Duration::from_secs(300)).acquire().await.unwrap();
    full(&redis);
    for wait in [Some(Duration::ZERO), Some(Duration::from_secs(4)), None] {
        let lock = locks.lock("new");
        let lock = wait.into_iter().fold(lock, |lock, wait| lock.wait(wait));
        // Also without a limit of its own, though renewals are answered all the while.
        let error = in_time(lock.acquire()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
        let address = redis.address().to_string();
        assert!(chain(&error).contains("out of memory") && chain(&error).contains(&address), "{}", chain(&error));
    }
    held.release().await.unwrap();
    least.release().await.unwrap();
    assert_eq!(redis.keys("held").len() + redis.keys("new").len(), 0, "{:?}", redis.all_keys());
    let left = redis.ask(&["PTTL", "least"]).number();
    assert!((1..=300_000).contains(&left), "{left}");
    has_room(&redis);
    acquire_and_release(&locks, "new").await;
}

async fn one_key_stays_of_ten_thousand_locks(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let locks = connect(&redis.url());
    for round in 0..20 {
        let acquired = (0..500).map(|number| tokio::spawn(locks.lock(format!("{round}/{number}")).acquire()));
        let acquired: Vec<_> = acquired.collect();
        for guard in acquired {
            granted(guard).await.release().await.unwrap();
        }
    }
    assert_eq!(redis.keys("*"), ["{}:fence"]);
}

async fn fence(locks: &Locks, key: &str) -> u64 {
    let guard: Guard = locks.lock(key).wait(HANG_LIMIT).acquire().await.unwrap();
    // What is below is not the store's: several holds of one process may share an entry.
    let fence = guard.fence().to_u64() >> 12;
    guard.release().await.unwrap();
    fence
}

/// The last fence is an hour ahead of the clock then; also one that an earlier version left, of one lock.
async fn fences_grow_although_the_clock_was_set_back(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let locks = connect(&redis.url());
    let (first, hour) = (fence(&locks, "k").await, 3_600_000_000);
    for beside in ["{}:fence", "{k}:fence"] {
        let ahead = fence(&locks, "k").await + hour;
        redis.ask(&["SET", beside, &ahead.to_string()]);
        let next = fence(&locks, "k").await;
        assert!(next > ahead, "{beside}: {next} after {ahead}");
        assert!(fence(&locks, "other").await > next && fence(&locks, "k").await > next);
    }
    // After one that is none, time counts.
    for odd in ["9999999999999999", "18446744073709551615", "x"] {
        redis.ask(&["SET", "{}:fence", odd]);
        redis.ask(&["DEL", "{k}:fence"]);
        assert!(fence(&locks, "k").await > first, "{odd}");
    }
}

async fn a_user_without_the_namespaces_fence_has_fences_that_grow(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    redis.ask(&["ACL", "SETUSER", "app", "on", ">secret", "~k", "~{k}:*", "&*", "+@all"]);
    let locks = connect(&format!("redis://app:secret@{}", redis.address()));
    let ahead = fence(&locks, "k").await + 3_600_000_000;
    redis.ask(&["SET", "{k}:fence", &ahead.to_string()]);
    assert!(fence(&locks, "k").await > ahead);
    let left = redis.ask(&["PTTL", "{k}:fence"]).number();
    assert!(left > 3_600_000, "{left}: until the clock has come so far");
}

/// Mostly not of locks: the server is asked in steps, and nothing is read but what may belong to a lock.
async fn every_lock_is_listed_among_a_million_keys(fixture: Fixture) {
    const KEYS: &str = "for i = 1, 100000 do redis.call('SET', ARGV[1] .. i, i) end";
    const LOCKS: &str = "for i = 1, 5000 do
        redis.call('SET', 'lock/' .. i, '0123456789abcdef.0123456789abcdef.' .. i, 'PX', 600000)
        redis.call('HSET', '{lock/' .. i .. '}:holder', 'token', '0123456789abcdef.0123456789abcdef.' .. i,
            'record', '{\"v\":1,\"name\":\"n\"}', 'fence', i)
    end";
    let redis = fixture.start(&Setup::default());
    let locks = connect(&redis.url());
    for part in 0..10 {
        redis.ask(&["EVAL", KEYS, "0", &format!("data/{part}/")]);
    }
    redis.ask(&["EVAL", LOCKS, "0"]);
    let lines = locks.list("").await.unwrap();
    assert_eq!(lines.len(), 5000);
    assert!(lines.iter().all(|line| line.holders.len() == 1 && line.holders[0].name == "n"));
    assert_eq!(locks.list("lock/4999").await.unwrap().len(), 1);
}
