//! What else is in the server, by careless and by hostile neighbours: no data of theirs is taken for a lock, or away, and
//! nothing that they do to one key harms the holds of another.

use crate::{Case, Fixture};
use distributed_locks::ErrorKind;
use std::time::Duration;
use support::cases;
use support::redis::{Redis, Setup};
use support::scenarios::{acquire_and_release, chain, client, connect, held, lost, nothing_is_left};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        no_data_of_an_application_is_released_by_force,
        locks_of_other_projects_are_released_by_force,
        no_advice_deletes_data_of_an_application,
        a_value_of_twenty_megabytes_is_not_fetched,
        a_right_that_is_taken_away_for_one_key_ends_that_hold_alone,
        a_key_of_another_type_in_a_locks_place_harms_no_other,
    ]
}

/// Each with a command that makes it.
const DATA: [&[&str]; 8] = [
    &["SADD", "precious", "a", "b"],
    &["HSET", "precious", "name", "x", "mail", "y"],
    &["HSET", "precious", "name", "1"],
    &["RPUSH", "precious", "a"],
    &["ZADD", "precious", "1", "a"],
    &["SET", "precious", "{\"user\":7}"],
    &["SET", "precious", "{\"user\":7}", "PX", "600000"],
    &["SET", "precious", ""],
];

async fn no_data_of_an_application_is_released_by_force(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let locks = connect(&redis.url());
    for data in DATA {
        redis.ask(data);
        let error = locks.force_release("precious").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidKey, "{data:?}: {error}");
        assert!(error.to_string().contains("nothing was released"), "{error}");
        assert!(locks.lock("precious").try_acquire().await.unwrap().is_none(), "{data:?}");
        assert_eq!(redis.ask(&["DEL", "precious"]).number(), 1, "{data:?} is gone");
    }
    assert!(!locks.force_release("precious").await.unwrap(), "there is nothing");
}

async fn locks_of_other_projects_are_released_by_force(fixture: Fixture) {
    let (redis, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    let tokens =
        ["ADDED:2026-01-31T12:00:00.123Z@host", "64f1c0de64f1c0de64f1c0de64f1c0de", "q83vEjRWeJCrze8SNFZ4kA=="];
    for token in tokens {
        redis.ask(&["SET", &key, token, "PX", "600000"]);
        assert!(locks.force_release(&key).await.unwrap(), "{token}");
        acquire_and_release(&locks, &key).await;
    }
    redis.ask(&["HSET", &key, "8743c9c0-79f1-4f5e-a1f5-1c0f4a3f6c11:1", "1"]);
    redis.ask(&["PEXPIRE", &key, "600000"]);
    assert!(locks.force_release(&key).await.unwrap(), "Redisson's");
    nothing_is_left(&*redis, &key).await;
}

async fn no_advice_deletes_data_of_an_application(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let locks = connect(&redis.url());
    for data in DATA {
        redis.ask(data);
        let busy = locks.lock("precious").wait(Duration::ZERO).acquire().await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Busy);
        let may_be_a_lock = data[0] == "SET";
        assert!(may_be_a_lock || !chain(&busy).contains("redis-cli"), "{data:?}: {busy}");
        assert!(may_be_a_lock || chain(&busy).contains("another program's data"), "{data:?}: {busy}");
        redis.ask(&["DEL", "precious"]);
    }
}

fn sent(redis: &Redis) -> u64 {
    let stats = redis.ask(&["INFO", "stats"]).text().unwrap();
    let line = stats.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:"));
    line.unwrap().trim().parse().unwrap()
}

async fn a_value_of_twenty_megabytes_is_not_fetched(fixture: Fixture) {
    const HUGE: &str = "redis.call('SET', ARGV[1], string.rep('x', 20000000))";
    const WHOLE: &str = "local value = redis.call('GET', ARGV[1])
        redis.call('SET', ARGV[1], value .. string.rep('x', 20000000), 'KEEPTTL')";
    const DIVIDED: &str = "redis.call('HSET', ARGV[1], 'record', string.rep('x', 20000000))";
    let redis = fixture.start(&Setup::default());
    let locks = connect(&redis.url());
    let guard = locks.lock("whole").acquire().await.unwrap();
    let divided = locks.lock("divided").hold_at_least(Duration::from_millis(1)).acquire().await.unwrap();
    redis.ask(&["EVAL", HUGE, "0", "k"]);
    redis.ask(&["EVAL", WHOLE, "0", "whole"]);
    redis.ask(&["EVAL", DIVIDED, "0", "{divided}:holder"]);
    let before = sent(&redis);
    for key in ["k", "whole", "divided"] {
        let busy = locks.lock(key).wait(Duration::ZERO).name("another").acquire().await.unwrap_err();
        assert!(busy.kind() == ErrorKind::Busy && busy.to_string().len() < 2000, "{key}: {:?}", busy.kind());
        assert_eq!(locks.inspect(key).await.unwrap().unwrap().holders.len(), 1);
    }
    assert_eq!(locks.list("").await.unwrap().len(), 2);
    assert_eq!(locks.force_release("k").await.unwrap_err().kind(), ErrorKind::InvalidKey);
    let sent = sent(&redis) - before;
    assert!(sent < 100_000, "{sent} bytes");
    guard.release().await.unwrap();
    divided.release().await.unwrap();
}

async fn a_right_that_is_taken_away_for_one_key_ends_that_hold_alone(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    redis.ask(&["ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all"]);
    let locks = connect(&format!("redis://app:secret@{}", redis.address()));
    let (stays, ends) = (held(&locks, "stays", 8).await, held(&locks, "ends", 8).await);
    let waiting = tokio::spawn(locks.lock("free").acquire());
    redis.ask(&["ACL", "SETUSER", "app", "resetkeys", "~stays", "~{stays}:*", "~free", "~{free}:*"]);
    let error = lost(ends).await;
    assert!(chain(&error).contains("does not permit"), "the server's reason: {}", chain(&error));
    assert!(!stays.is_finished());
    waiting.await.unwrap().unwrap().release().await.unwrap();
    // For longer than a TTL.
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(!stays.is_finished(), "{:?}", stays.await);
    stays.abort();
}

async fn a_key_of_another_type_in_a_locks_place_harms_no_other(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let (ours, theirs) = (connect(&redis.url()), connect(&redis.url()));
    let guard = theirs.lock("broken").acquire().await.unwrap();
    let waiting = tokio::spawn(ours.lock("broken").ttl(Duration::from_secs(8)).acquire());
    support::scenarios::queued(&theirs, "broken", 1).await;
    let stays = held(&ours, "stays", 8).await;
    for beside in ["{broken}:queue", "{broken}:waiters"] {
        redis.ask(&["SET", beside, "mine"]);
    }
    tokio::time::sleep(Duration::from_secs(17)).await;
    assert!(!stays.is_finished(), "{:?}", stays.await);
    stays.abort();
    waiting.abort();
    drop(guard);
}
