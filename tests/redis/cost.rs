//! What a lock costs, by the server's own count.

use crate::{SOON, Store, connect, keys, nothing_is_left};
use distributed_locks::{ErrorKind, Guard, Locks};
use std::time::Duration;
use support::eventually;
use support::redis::{Answer, Counts, Redis, Setup};

/// A server of its own, so that nobody else's requests count, and a client whose session is there already.
async fn quiet(store: &Store) -> (Redis, Locks) {
    let redis = store.start(&Setup::default());
    // A TTL so long that no renewal falls into the count.
    let locks = connect(&format!("{}?ttl=600s", redis.url()));
    locks.lock("warm").acquire().await.unwrap().release().await.unwrap();
    (redis, locks)
}

fn scripts(count: u64) -> Vec<(String, u64)> {
    vec![("evalsha".to_owned(), count)]
}

pub(crate) async fn uncontended_pair_is_two_commands(store: Store) {
    let (redis, locks) = quiet(&store).await;
    for round in 0..20 {
        let before = redis.counts();
        let guard = locks.lock("pair").acquire().await.unwrap();
        let held = redis.counts();
        assert_eq!(held.sent_since(&before), scripts(1), "acquire {round}");
        guard.release().await.unwrap();
        assert_eq!(redis.counts().sent_since(&held), scripts(1), "release {round}");
    }
    let answer = redis.ask(&["INFO", "clients"]).text().unwrap();
    assert!(answer.contains("pubsub_clients:0") || !answer.contains("pubsub_clients"), "nobody waited: {answer}");
}

pub(crate) async fn a_busy_try_is_one_command_and_leaves_nothing(store: Store) {
    let (redis, locks) = quiet(&store).await;
    let other = connect(&format!("{}?ttl=600s", redis.url()));
    let guard = other.lock("busy").name("the other").acquire().await.unwrap();
    let (before, there) = (redis.counts(), redis.keys("*"));
    let error = locks.lock("busy").wait(Duration::ZERO).acquire().await.unwrap_err();
    assert_eq!(redis.counts().sent_since(&before), vec![("evalsha".to_owned(), 1), ("keys".to_owned(), 1)]);
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert_eq!(error.holder().unwrap().name, "the other");
    assert_eq!(redis.keys("*"), there);
    guard.release().await.unwrap();
}

async fn take_all(locks: &Locks) -> Vec<Guard> {
    let mut guards = Vec::new();
    for number in 0..1000 {
        guards.push(locks.lock(format!("/many/{number}")).acquire().await.unwrap());
    }
    guards
}

pub(crate) async fn a_thousand_locks_are_one_command_each_third(store: Store) {
    let redis = store.start(&Setup::default());
    let locks = connect(&format!("{}?ttl=6s", redis.url()));
    let guards = take_all(&locks).await;
    // Holds that last are watched for their removal: one subscription, and one look at all.
    eventually(SOON, async || if redis.counts().of("subscribe") == 1 { Ok(()) } else { Err(()) }).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = redis.counts();
    // Three renewals' time: a renewal is due every 1.8 to 2 s.
    tokio::time::sleep(Duration::from_millis(6200)).await;
    let after = redis.counts();
    let renewals = after.of("evalsha") - before.of("evalsha");
    assert!((3..=4).contains(&renewals), "{renewals} renewals in 6.2 s at a TTL of 6 s");
    let others: Vec<_> = after.sent_since(&before).into_iter().filter(|(name, _)| name != "evalsha").collect();
    assert!(others.iter().all(|(name, count)| name == "ping" && *count == 1), "{others:?}");
    assert!(guards.iter().all(Guard::is_held));
    locks.close().await;
    assert_eq!(redis.counts().of("evalsha") - after.of("evalsha"), 1, "closing");
    assert_eq!(keys(&redis, "/many/"), Vec::<String>::new());
}

/// How many connections have subscribed.
fn subscribers(redis: &Redis) -> usize {
    redis.ask(&["CLIENT", "LIST", "TYPE", "pubsub"]).text().unwrap().lines().count()
}

fn scripts_since(redis: &Redis, before: &Counts) -> u64 {
    redis.counts().of("evalsha") - before.of("evalsha")
}

pub(crate) async fn a_thousand_waiters_of_as_many_keys_are_one_subscription(store: Store) {
    let (redis, locks) = quiet(&store).await;
    let other = connect(&format!("{}?ttl=600s", redis.url()));
    let guards = take_all(&other).await;
    let before = redis.counts();
    let waiters: Vec<_> =
        (0..1000).map(|number| tokio::spawn(locks.lock(format!("/many/{number}")).acquire())).collect();
    eventually(SOON, async || match redis.keys("{/many/*}:queue").len() {
        1000 => Ok(()),
        waiting => Err(waiting),
    })
    .await;
    assert_eq!(redis.counts().of("subscribe"), 1);
    assert_eq!(subscribers(&redis), 1);
    // One for each place in line, one after subscribing, and a look at all every few seconds.
    let parked = scripts_since(&redis, &before);
    assert!((1000..=1010).contains(&parked), "{parked} requests for 1000 places in line");
    let before = redis.counts();
    tokio::time::sleep(Duration::from_secs(7)).await;
    let looks = scripts_since(&redis, &before);
    assert!((1..=2).contains(&looks), "{looks} looks in 7 s");
    // Handing on costs nothing but giving back.
    let before = redis.counts();
    for guard in guards {
        guard.release().await.unwrap();
    }
    let mut held = Vec::new();
    for waiter in waiters {
        held.push(tokio::time::timeout(SOON, waiter).await.unwrap().unwrap().unwrap());
    }
    let handed = scripts_since(&redis, &before);
    assert!((1000..=1003).contains(&handed), "{handed} requests to hand on 1000 locks");
    locks.close().await;
    nothing_is_left(&redis, "/many/").await;
}

pub(crate) async fn a_thousand_waiters_of_one_key_are_one_place_in_line(store: Store) {
    let (redis, locks) = quiet(&store).await;
    let other = connect(&format!("{}?ttl=600s", redis.url()));
    let guard = other.lock("one").acquire().await.unwrap();
    let before = redis.counts();
    let waiters: Vec<_> = (0..1000).map(|_| tokio::spawn(locks.lock("one").run(|_| async {}))).collect();
    eventually(SOON, async || match redis.ask(&["ZCARD", "{one}:queue"]) {
        Answer::Number(1) if redis.counts().of("subscribe") == 1 => Ok(()),
        waiting => Err(waiting),
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((redis.ask(&["ZCARD", "{one}:queue"]), subscribers(&redis)), (Answer::Number(1), 1));
    let parked = scripts_since(&redis, &before);
    assert!(parked <= 4, "{parked} requests for one place in line");
    guard.release().await.unwrap();
    for waiter in waiters {
        tokio::time::timeout(SOON, waiter).await.unwrap().unwrap().unwrap();
    }
    nothing_is_left(&redis, "one").await;
}
