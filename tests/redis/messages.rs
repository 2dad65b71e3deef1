//! Whoever may publish, and touch no lock, says what they like: no message grants a lock, takes one away, or costs much.

use crate::{Case, Fixture};
use std::time::{Duration, Instant};
use support::redis::{Redis, Setup};
use support::scenarios::cost::{at_most, quiet_client};
use support::scenarios::{connect, granted, queued};
use support::{cases, eventually};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_forged_message_grants_nothing_and_takes_nothing_away,
        a_forged_turn_does_not_hide_the_real_one,
        a_flood_of_messages_costs_few_requests,
        messages_that_are_garbage_or_huge_are_survived,
        a_forged_change_is_not_reported_to_a_watch,
    ]
}

/// A time that is long enough for a message to be acted upon: for what must not happen.
const MEANWHILE: Duration = Duration::from_secs(1);

/// Waits until the client has asked the server, because of a message.
async fn asked_since(redis: &Redis, before: u64) {
    eventually(async || if redis.counts().of("evalsha") > before { Ok(()) } else { Err("it did not ask") }).await;
}

async fn a_forged_message_grants_nothing_and_takes_nothing_away(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let (ours, theirs) = (quiet_client(&redis).await, quiet_client(&redis).await);
    let guard = ours.lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn(theirs.lock("k").acquire());
    queued(&ours, "k", 1).await;
    eventually(async || match redis.ask(&["PUBSUB", "NUMPAT"]).number() {
        _ if redis.counts().of("subscribe") >= 1 => Ok(()),
        patterns => Err(patterns),
    })
    .await;
    let (waiter, to_theirs) = redis.first_waiter("k");
    let (holder, to_ours) = redis.holder("k");
    let before = redis.counts().of("evalsha");
    for _ in 0..5 {
        eventually(async || match redis.publish(&to_theirs, &format!("+\n{waiter}\n4000000000000000")) {
            1 => Ok(()),
            received => Err(received),
        })
        .await;
        redis.publish(&to_theirs, &format!("-\n{waiter}\n0"));
        redis.publish(&to_ours, &format!("-\n{holder}\n0"));
    }
    asked_since(&redis, before).await;
    assert!(tokio::time::timeout(MEANWHILE, guard.lost()).await.is_err(), "a message took the lock away");
    guard.check().unwrap();
    assert!(!waiting.is_finished(), "a message granted the lock");
    guard.release().await.unwrap();
    let next = granted(waiting).await;
    assert!(!format!("{:?}", next.fence()).contains("4000000000000000"), "{:?}", next.fence());
    next.check().unwrap();
    next.release().await.unwrap();
}

/// `^` says how long the holder stays: a waiter that believed a day would not look when it lapses.
async fn a_forged_turn_does_not_hide_the_real_one(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let locks = quiet_client(&redis).await;
    redis.ask(&["SET", "k", "64f1c0de64f1c0de64f1c0de64f1c0de", "PX", "3000"]);
    let waiting = tokio::spawn(locks.lock("k").acquire());
    queued(&locks, "k", 1).await;
    let (waiter, channel) = redis.first_waiter("k");
    for wait in ["86400000", "18446744073709551615", "99999999999999999999"] {
        redis.publish(&channel, &format!("^\n{waiter}\n{wait}"));
    }
    granted(waiting).await.release().await.unwrap();
}

async fn a_flood_of_messages_costs_few_requests(fixture: Fixture) {
    const FLOOD: &str = "for i = 1, 2000 do redis.call('PUBLISH', ARGV[1], ARGV[2]) end";
    let redis = fixture.start(&Setup::default());
    let (ours, theirs) = (quiet_client(&redis).await, quiet_client(&redis).await);
    let guard = ours.lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn(theirs.lock("k").acquire());
    queued(&ours, "k", 1).await;
    let (waiter, channel) = redis.first_waiter("k");
    eventually(async || if redis.publish(&channel, "") == 1 { Ok(()) } else { Err("not subscribed") }).await;
    let (begun, before) = (Instant::now(), redis.counts().of("evalsha"));
    while begun.elapsed() < Duration::from_secs(5) {
        redis.ask(&["EVAL", FLOOD, "0", &channel, &format!("+\n{waiter}\n7")]);
        redis.ask(&["EVAL", FLOOD, "0", &channel, &format!("^\n{waiter}\n0")]);
    }
    // Ten a second after the first few, and the looks that are due anyway.
    let (asked, took) = (redis.counts().of("evalsha") - before, begun.elapsed());
    let most = 20 + at_most(took, Duration::from_millis(100)) + at_most(took, Duration::from_secs(4));
    assert!(asked <= most, "{asked} requests in {took:?}");
    guard.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
}

async fn messages_that_are_garbage_or_huge_are_survived(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let (ours, theirs) = (connect(&redis.url()), connect(&redis.url()));
    let mut watch = ours.watch("").await.unwrap();
    let guard = ours.lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn(theirs.lock("k").acquire());
    queued(&ours, "k", 1).await;
    let (waiter, channel) = redis.first_waiter("k");
    for garbage in ["", "\n\n\n", "+", "+\n\n", "\u{fffd}\0\n\r\n", "+\na.b.c\n1", "^\n1.2.3\n-1"] {
        redis.publish(&channel, garbage);
        redis.publish("locks@0:changes", garbage);
    }
    const HUGE: &str = "return redis.call('PUBLISH', ARGV[1], ARGV[2] .. string.rep('x', 5000000))";
    for channel in [channel.as_str(), "locks@0:changes"] {
        redis.ask(&["EVAL", HUGE, "0", channel, &format!("+\n{waiter}\n")]);
    }
    guard.check().unwrap();
    guard.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
    assert!(format!("{:?}", watch.next().await).contains("Acquired"));
}

async fn a_forged_change_is_not_reported_to_a_watch(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let locks = connect(&redis.url());
    let held = locks.lock("held").acquire().await.unwrap();
    let mut watch = locks.watch("").await.unwrap();
    let (holder, _) = redis.holder("held");
    redis.publish("locks@0:changes", "+\na.b.1\nfree\n{\"v\":1,\"name\":\"mallory\"}");
    redis.publish("locks@0:changes", "+\na.b.1\nheld\n{\"v\":1,\"name\":\"mallory\"}");
    redis.publish("locks@0:changes", &format!("-\n{holder}\nheld"));
    tokio::time::sleep(MEANWHILE).await;
    let guard = locks.lock("real").name("ours").acquire().await.unwrap();
    let change = format!("{:?}", watch.next().await);
    assert!(change.contains("`real`") && change.contains("\"ours\""), "{change}");
    held.release().await.unwrap();
    guard.release().await.unwrap();
}
