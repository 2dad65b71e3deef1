//! What a lock costs, by the server's own count.

use crate::{Case, Fixture};
use distributed_locks::Guard;
use std::time::{Duration, Instant};
use support::proxy::Mode;
use support::redis::{Answer, Counts, Redis, Setup};
use support::scenarios::cost::{self, RARE, RENEWED, RENEWED_URL, acquire_many, at_most, cost, quiet, quiet_client};
use support::scenarios::{behind_proxy, connect, granted, many, nothing_is_left};
use support::{Server, cases, eventually, in_time};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        uncontended_pair_is_two_commands,
        a_busy_try_is_one_command_and_leaves_nothing,
        a_last_look_is_one_command,
        a_hand_over_is_two_commands,
        work_that_is_done_once_is_five_commands_and_then_one,
        an_uncontended_pair_is_seven_commands_in_its_scripts,
        locks_that_are_wanted_at_one_moment_share_commands;
        slow:
        ten_thousand_locks_are_renewed_by_less_than_a_thousand_commands_a_second,
        a_thousand_locks_are_one_command_each_third,
        a_thousand_waiters_of_as_many_keys_are_one_subscription,
        a_thousand_waiters_of_one_key_are_one_entry_in_the_queue,
    ]
}

/// The shortest time between two looks at everything that waits.
const BETWEEN_LOOKS: Duration = Duration::from_secs(4);

/// As [`BETWEEN_LOOKS`], before the server has confirmed the subscription.
const UNSUBSCRIBED: Duration = Duration::from_millis(100);

async fn uncontended_pair_is_two_commands(fixture: Fixture) {
    let (redis, locks) = quiet(&fixture).await;
    let one = cost([("evalsha", 1)]);
    cost::an_uncontended_pair_costs(&redis, &locks, &one, &one).await;
    assert_eq!(subscribers(&redis), 0, "nothing has waited");
}

async fn a_busy_try_is_one_command_and_leaves_nothing(fixture: Fixture) {
    let (redis, locks) = quiet(&fixture).await;
    let other = quiet_client(&redis).await;
    cost::a_busy_try_costs(&redis, &locks, &other, &cost([("evalsha", 1)])).await;
}

async fn work_that_is_done_once_is_five_commands_and_then_one(fixture: Fixture) {
    let (redis, locks) = quiet(&fixture).await;
    let [five, one] = [5, 1].map(|count| cost([("evalsha", count)]));
    cost::work_that_is_done_once_costs(&redis, &locks, &five, &one, &one).await;
}

async fn a_hand_over_is_two_commands(fixture: Fixture) {
    let (redis, locks) = quiet(&fixture).await;
    let (taker, one) = (quiet_client(&redis).await, cost([("evalsha", 1)]));
    cost::a_hand_over_costs(&redis, &locks, &taker, &one, &one).await;
}

async fn a_last_look_is_one_command(fixture: Fixture) {
    let (redis, locks) = quiet(&fixture).await;
    let one = cost([("evalsha", 1)]);
    cost::a_last_look_costs(&redis, &locks, &one, &one).await;
}

/// What the server has carried out since, for this question too.
fn carried_out(redis: &Redis, before: &Counts, of: &[&str]) -> Vec<u64> {
    let now = redis.counts();
    of.iter().map(|name| now.of(name) - before.of(name)).collect()
}

/// In most rounds: in one that takes long on a busy machine, the hold is watched too.
async fn an_uncontended_pair_is_seven_commands_in_its_scripts(fixture: Fixture) {
    const ROUNDS: usize = 20;
    let (redis, locks) = quiet(&fixture).await;
    let (mut acquired, mut released) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = redis.counts();
        let guard = locks.lock("/pair").acquire().await.unwrap();
        let (all, of) = (redis.counts().all() - before.all() - 1, ["evalsha", "exists", "incrby", "set", "time"]);
        acquired.push((all, carried_out(&redis, &before, &of)));
        let before = redis.counts();
        guard.release().await.unwrap();
        let all = redis.counts().all() - before.all() - 1;
        released.push((all, carried_out(&redis, &before, &["evalsha", "mget", "del"])));
    }
    // The last lock was acquired more than a millisecond ago: so the clock is looked at, and the fence is set too.
    let is_expected = |(all, counts): &&(u64, Vec<u64>)| {
        *all <= 6 && counts[..3] == [1, 1, 1] && (1..=2).contains(&counts[3]) && counts[4] <= 1
    };
    let as_expected = acquired.iter().filter(is_expected).count();
    assert!(as_expected >= ROUNDS / 2, "{acquired:?}");
    let as_expected = released.iter().filter(|released| **released == (3, vec![1, 1, 1])).count();
    assert!(as_expected >= ROUNDS / 2, "{released:?}");
}

async fn locks_that_are_wanted_at_one_moment_share_commands(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let (proxy, locks) = behind_proxy(&redis, RARE).await;
    // A server that answers at once may be faster than the tasks that ask it.
    proxy.set(Mode::Delay(Duration::from_millis(30)));
    let before = redis.counts();
    many::those_of_one_moment_share_requests(&redis, &locks).await;
    // A SET for each, and few that many have in common: the questions of this test are among them.
    let (all, sets) = (redis.counts().all() - before.all(), carried_out(&redis, &before, &["set"])[0]);
    println!("64 holds: {all} commands, of which {sets} are SET");
    assert!(all - sets <= 64 * 3, "{all} commands, of which {sets} are SET");
}

/// At a TTL of ten seconds: here it is longer, for a busy machine, and the bound is less.
async fn ten_thousand_locks_are_renewed_by_less_than_a_thousand_commands_a_second(fixture: Fixture) {
    const TTL: Duration = Duration::from_secs(45);
    let redis = fixture.start(&Setup::default());
    let locks = connect(&redis.url_with("ttl=45s&connect_timeout=60s"));
    let guards = many::all(&locks, "/many", 10_000).await;
    let looks = || redis.counts().of("mget");
    let after = async |renewals: u64| {
        for _ in 0..renewals {
            let before = looks();
            eventually(async || {
                tokio::time::sleep(TTL / 30).await;
                if looks() >= before + 10 { Ok(()) } else { Err("not renewed") }
            })
            .await;
        }
    };
    // Each is prolonged by its first renewal, and looked at once, as it is watched for its removal.
    eventually(async || if redis.counts().of("subscribe") == 1 { Ok(()) } else { Err("not subscribed") }).await;
    after(2).await;
    let (begun, before) = (Instant::now(), redis.counts());
    after(4).await;
    let (all, during) = (redis.counts().all() - before.all(), begun.elapsed());
    let prolonged = carried_out(&redis, &before, &["pexpire"])[0];
    println!("four renewals of 10,000: {all} commands in {during:?}, {prolonged} of which are PEXPIRE");
    assert!(prolonged >= 7500, "{prolonged}");
    assert!(all * 45 / 10 <= at_most(during, Duration::from_millis(1)), "{all} commands in {during:?}");
    assert!(guards.iter().all(Guard::is_held));
    let longest =
        guards.iter().enumerate().map(|(number, _)| redis.ask(&["PTTL", &format!("/many/{number}")]).number());
    assert!(longest.take(100).all(|left| left <= 2 * 45_000 + 4500));
    many::release(guards).await;
    assert_eq!(redis.left("/many/"), [""; 0]);
}

async fn a_thousand_locks_are_one_command_each_third(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let locks = connect(&redis.url_with(RENEWED_URL));
    let guards = acquire_many(&locks, 1000).await;
    // Holds that last are watched for their removal: one subscription, and one look at all, which is over by the second
    // renewal.
    let scripts = || redis.counts().of("evalsha");
    eventually(async || if redis.counts().of("subscribe") == 1 { Ok(()) } else { Err(()) }).await;
    let before = scripts();
    eventually(async || if scripts() >= before + 2 { Ok(()) } else { Err("not renewed") }).await;
    let (begun, before) = (Instant::now(), redis.cost());
    cost::one_renewal_for_each_third(scripts).await;
    let others = redis.cost_since(&before).into_iter().filter(|(name, _)| name != "evalsha");
    let pings = at_most(begun.elapsed(), Duration::from_secs(10));
    for (name, count) in others {
        assert!(name == "ping" && count <= pings, "{count} × {name}");
    }
    assert!(guards.iter().all(Guard::is_held));
    let (begun, before) = (Instant::now(), scripts());
    locks.close().await;
    // A renewal may have been due as well.
    let (sent, renewals) = (scripts() - before, at_most(begun.elapsed(), RENEWED * 3 / 10));
    assert!((1..=1 + renewals).contains(&sent), "{sent} requests to release all of them");
    assert_eq!(redis.left("/many/"), [""; 0]);
}

/// How many connections have subscribed.
fn subscribers(redis: &Redis) -> usize {
    redis.ask(&["CLIENT", "LIST", "TYPE", "pubsub"]).text().unwrap().lines().count()
}

fn scripts_since(redis: &Redis, before: &Counts) -> u64 {
    redis.counts().of("evalsha") - before.of("evalsha")
}

async fn a_thousand_waiters_of_as_many_keys_are_one_subscription(fixture: Fixture) {
    const ROUND_TRIP: Duration = Duration::from_millis(400);
    let (redis, other) = quiet(&fixture).await;
    let guards = acquire_many(&other, 1000).await;
    // While an answer takes its time, whoever comes shares the next request.
    let (proxy, locks) = behind_proxy(&redis, RARE).await;
    proxy.set(Mode::Delay(ROUND_TRIP / 2));
    let (begun, before) = (Instant::now(), redis.counts());
    let waiters: Vec<_> =
        (0..1000).map(|number| tokio::spawn(locks.lock(format!("/many/{number}")).acquire())).collect();
    eventually(async || match redis.keys("{/many/*}:queue").len() {
        1000 => Ok(()),
        waiting => Err(waiting),
    })
    .await;
    assert_eq!((redis.counts().of("subscribe"), subscribers(&redis)), (1, 1));
    // One for each entry, after one that up to 64 share, four at a time; and a look at all of them now and then.
    let (sent, looks) = (scripts_since(&redis, &before), at_most(begun.elapsed(), UNSUBSCRIBED));
    let shared = 1000_u64.div_ceil(64) + at_most(begun.elapsed(), ROUND_TRIP / 4);
    assert!(
        (1000..=1002 + shared + looks).contains(&sent),
        "{sent} requests for 1000 entries, {shared} of them shared"
    );
    proxy.set(Mode::Pass);
    let (begun, before) = (Instant::now(), redis.counts());
    eventually(async || if scripts_since(&redis, &before) >= 2 { Ok(()) } else { Err("no look") }).await;
    let (looks, most) = (scripts_since(&redis, &before), at_most(begun.elapsed(), BETWEEN_LOOKS));
    assert!(looks <= most, "{looks} looks, and not {most}");
    // To hand over costs a release and, as a notification is only a reason to ask, at the most one question.
    let (begun, before) = (Instant::now(), redis.counts());
    for guard in guards {
        guard.release().await.unwrap();
    }
    let mut held = Vec::new();
    for waiter in waiters {
        held.push(granted(waiter).await);
    }
    let (sent, looks) = (scripts_since(&redis, &before), at_most(begun.elapsed(), BETWEEN_LOOKS));
    assert!((1000..=2002 + looks).contains(&sent), "{sent} requests to hand over 1000 locks");
    locks.close().await;
    nothing_is_left(&redis, "/many/").await;
}

async fn a_thousand_waiters_of_one_key_are_one_entry_in_the_queue(fixture: Fixture) {
    let (redis, locks) = quiet(&fixture).await;
    let other = quiet_client(&redis).await;
    let guard = other.lock("one").acquire().await.unwrap();
    let (begun, before) = (Instant::now(), redis.counts());
    let waiters: Vec<_> = (0..1000).map(|_| tokio::spawn(locks.lock("one").run(|_| async {}))).collect();
    eventually(async || match redis.ask(&["ZCARD", "{one}:queue"]) {
        Answer::Number(1) if redis.counts().of("subscribe") == 1 => Ok(()),
        waiting => Err(waiting),
    })
    .await;
    // For what must not happen: that more of them reach the server.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((redis.ask(&["ZCARD", "{one}:queue"]), subscribers(&redis)), (Answer::Number(1), 1));
    let (sent, looks) = (scripts_since(&redis, &before), at_most(begun.elapsed(), UNSUBSCRIBED));
    assert!(sent <= 2 + looks, "{sent} requests for one entry");
    guard.release().await.unwrap();
    for waiter in waiters {
        in_time(waiter).await.unwrap().unwrap();
    }
    nothing_is_left(&redis, "one").await;
}
