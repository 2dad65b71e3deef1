//! Clients of the version before beside those of this one, as while a deployment goes on: in one line, whoever was first,
//! with fences that grow. Theirs hold with two keys, and see ours, while nobody waits behind them, as foreign holders.

use crate::{Case, Fixture};
use distributed_locks::{ErrorKind, Guard};
use std::time::Duration;
use support::cases;
use support::redis::{Answer, Redis, Setup};
use support::scenarios::{connect, granted, many, nothing_is_left, queued};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        an_earlier_holder_is_shown_excludes_us_and_hands_off_to_us,
        an_earlier_waiter_has_its_turn_before_ours,
        an_earlier_waiter_alone_is_not_overtaken,
        an_earlier_waiter_of_one_lock_of_many_is_not_overtaken,
        an_earlier_hold_is_reported_and_released_by_force,
    ]
}

const SCRIPT: &str = include_str!("earlier.lua");
const TTL: &str = "60000";

/// An entry of a client of that version.
struct Earlier<'a> {
    redis: &'a Redis,
    lock: &'a str,
    token: String,
}

impl<'a> Earlier<'a> {
    fn new(redis: &'a Redis, lock: &'a str, number: u64) -> Self {
        Self { redis, lock, token: format!("00000000000000aa.00000000000000bb.{number}") }
    }

    /// What the script replies: a word, and more.
    fn run(&self, command: &str, arguments: &[&str]) -> Vec<Answer> {
        let call = ["EVAL", SCRIPT, "1", self.lock, command, "locks@0:"];
        match self.redis.ask(&[call.as_slice(), arguments].concat()) {
            Answer::List(items) => items,
            other => vec![other],
        }
    }

    fn enter(&self) -> Vec<Answer> {
        self.run("enter", &[TTL, &self.token, r#"{"v":1,"name":"earlier"}"#, "queue"])
    }

    /// What a command for many locks replies for this one.
    fn one(&self, command: &str, argument: &str, item: &str) -> Vec<Answer> {
        let Answer::List(items) = self.run(command, &[argument, item]).remove(0) else {
            unreachable!("a list for each")
        };
        items
    }

    fn poll(&self) -> Vec<Answer> {
        self.one("poll", "0", &self.token)
    }

    fn leave(&self) {
        assert_eq!(word(&self.one("renew", TTL, &format!("!{}", self.token))), "gone");
    }
}

fn word(reply: &[Answer]) -> String {
    reply[0].clone().text().unwrap()
}

/// Of an entry that holds.
fn fence(reply: &[Answer]) -> u64 {
    assert_eq!(word(reply), "held");
    reply[1].clone().text().unwrap().parse().unwrap()
}

/// Without what distinguishes several holds of one entry.
fn ours(guard: &Guard) -> u64 {
    guard.fence().to_u64() >> 12
}

async fn an_earlier_holder_is_shown_excludes_us_and_hands_off_to_us(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let locks = connect(&redis.url());
    let earlier = Earlier::new(&redis, "k", 1);
    let first = fence(&earlier.enter());
    let busy = locks.lock("k").wait(Duration::ZERO).acquire().await.unwrap_err();
    assert!(busy.kind() == ErrorKind::Busy && busy.holder().unwrap().name == "earlier", "{busy}");
    assert_eq!(locks.list("").await.unwrap().len(), 1);
    let waiting = tokio::spawn(locks.lock("k").acquire());
    queued(&locks, "k", 1).await;
    assert_eq!(word(&earlier.one("renew", TTL, &format!("+{}", earlier.token))), "held");
    earlier.leave();
    let guard = granted(waiting).await;
    assert!(ours(&guard) > first, "{} after {first}", ours(&guard));
    // By hand-off it holds as that version does.
    let again = Earlier::new(&redis, "k", 2);
    let busy = again.run("enter", &[TTL, &again.token, "{}", "refuse"]);
    assert!(word(&busy) == "busy" && format!("{:?}", busy[1]).contains("\\\"v\\\":1"), "{busy:?}");
    guard.release().await.unwrap();
    assert!(fence(&again.enter()) > ours(&locks.lock("other").acquire().await.unwrap()) - 1_000_000_000);
    again.leave();
    nothing_is_left(&redis, "k").await;
}

async fn an_earlier_waiter_has_its_turn_before_ours(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let (one, two) = (connect(&redis.url()), connect(&redis.url()));
    let guard = one.lock("k").acquire().await.unwrap();
    let earlier = Earlier::new(&redis, "k", 1);
    assert_eq!(word(&earlier.enter()), "queued");
    assert_eq!(word(&earlier.poll()), "queued", "the hold in one piece is a foreign one to it");
    let waiting = tokio::spawn(two.lock("k").acquire());
    queued(&one, "k", 2).await;
    assert_eq!(word(&earlier.poll()), "queued");
    guard.check().unwrap();
    let first = ours(&guard);
    guard.release().await.unwrap();
    let second = fence(&earlier.poll());
    assert!(second > first && !waiting.is_finished(), "{second} after {first}");
    earlier.leave();
    let guard = granted(waiting).await;
    assert!(ours(&guard) > second);
    guard.release().await.unwrap();
    nothing_is_left(&redis, "k").await;
}

/// Our release only deletes the key. Who waits finds the lock free by looking, as behind any foreign holder; until then
/// nobody else has it.
async fn an_earlier_waiter_alone_is_not_overtaken(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let (one, two) = (connect(&redis.url()), connect(&redis.url()));
    let guard = one.lock("k").acquire().await.unwrap();
    let earlier = Earlier::new(&redis, "k", 1);
    assert_eq!(word(&earlier.enter()), "queued");
    let first = ours(&guard);
    guard.release().await.unwrap();
    assert!(two.lock("k").try_acquire().await.unwrap().is_none(), "it overtook");
    let second = fence(&earlier.poll());
    assert!(second > first, "{second} after {first}");
    earlier.leave();
    let guard = two.lock("k").acquire().await.unwrap();
    assert!(ours(&guard) > second);
    guard.release().await.unwrap();
    nothing_is_left(&redis, "k").await;
}

async fn an_earlier_waiter_of_one_lock_of_many_is_not_overtaken(fixture: Fixture) {
    const COUNT: usize = 20;
    let redis = fixture.start(&Setup::default());
    let locks = connect(&redis.url());
    let earlier = Earlier::new(&redis, "many/7", 1);
    redis.ask(&["SET", "many/7", "64f1c0de64f1c0de64f1c0de64f1c0de", "PX", TTL]);
    assert_eq!(word(&earlier.enter()), "queued");
    redis.ask(&["DEL", "many/7"]);
    let acquiring = (0..COUNT).map(|number| Box::pin(locks.lock(format!("many/{number}")).try_acquire()));
    let mut acquired = many::together(acquiring.collect(), u32::MAX).await;
    assert!(acquired.remove(7).unwrap().unwrap().is_none(), "it overtook");
    let guards: Vec<Guard> = acquired.into_iter().map(|acquired| acquired.unwrap().unwrap().unwrap()).collect();
    assert_eq!(word(&earlier.poll()), "held");
    earlier.leave();
    many::release(guards).await;
    nothing_is_left(&redis, "many").await;
}

async fn an_earlier_hold_is_reported_and_released_by_force(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let locks = connect(&redis.url());
    let mut watch = locks.watch("").await.unwrap();
    let earlier = Earlier::new(&redis, "k", 1);
    fence(&earlier.enter());
    let change = format!("{:?}", watch.next().await);
    assert!(change.contains("Acquired") && change.contains("\"earlier\""), "{change}");
    assert!(locks.force_release("k").await.unwrap());
    let change = format!("{:?}", watch.next().await);
    assert!(change.contains("Released"), "{change}");
    assert_eq!(word(&earlier.poll()), "gone");
    nothing_is_left(&redis, "k").await;
}
