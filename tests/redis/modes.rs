//! Readers, permits and several locks at one moment: what they cost, and beside clients that know nothing of them.

use crate::{Case, Fixture};
use distributed_locks::{ErrorKind, Guard, Locks, Mode};
use std::fmt::Debug;
use std::time::Duration;
use support::proxy;
use support::redis::{Answer, Redis, Setup};
use support::scenarios::cost::{RARE, cost, quiet, quiet_client};
use support::scenarios::{behind_proxy, connect, granted, lost, nothing_is_left, queued};
use support::{Cost, Server, cases, eventually, in_time};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_reader_or_a_permit_is_one_command_each_way,
        a_lone_reader_or_permit_is_one_key,
        eight_locks_are_one_command_each_way,
        readers_after_a_writer_are_notified_each_once,
        clients_that_know_only_set_are_kept_out_by_readers_and_permits_and_keep_them_out,
        a_reader_whose_key_is_deleted_has_lost,
        a_dead_reader_frees_its_place_while_another_renews,
        a_dead_permit_comes_back_while_another_renews,
        one_of_several_holders_is_released_by_force,
        another_hold_than_the_one_that_was_seen_is_not_released,
        locks_in_several_slots_of_a_cluster_are_refused,
        locks_with_a_hash_tag_are_held_together_in_a_cluster,
        readers_are_renewed_and_released_where_there_is_no_room,
    ]
}

const MODES: [(&str, Mode); 2] = [("readers", Mode::Shared), ("permits", Mode::Permits(3))];

async fn acquired(locks: &Locks, key: &str, mode: Mode) -> Guard {
    in_time(locks.lock(key).mode(mode).acquire()).await.unwrap()
}

/// How often to look at what something costs. On a busy machine a round may take so long that the hold is watched meanwhile:
/// most are as they should be.
const ROUNDS: usize = 10;

#[track_caller]
fn assert_mostly<T: Debug>(about: &str, rounds: &[T], is_expected: impl Fn(&T) -> bool) {
    let as_expected = rounds.iter().filter(|round| is_expected(round)).count();
    assert!(as_expected > ROUNDS / 2, "{about}: {as_expected} of {rounds:?}");
}

/// What one step of a round is: what clients have sent, how many commands that was in the server, and of some how many.
#[derive(Debug)]
struct Spent<const N: usize> {
    sent: Cost,
    all: u64,
    of: [u64; N],
}

impl<const N: usize> Spent<N> {
    /// Without this question, and what makes the script run.
    async fn by(redis: &Redis, of: [&str; N], step: impl Future<Output = ()>) -> Self {
        let (before, sent) = (redis.counts(), redis.cost());
        step.await;
        let now = redis.counts();
        let of = of.map(|name| now.of(name) - before.of(name));
        let [asked, run] = ["info", "evalsha"].map(|name| now.of(name) - before.of(name));
        Self { sent: redis.cost_since(&sent), all: now.all() - before.all() - asked - run, of }
    }

    fn is_one_request(&self) -> bool {
        self.sent == cost([("evalsha", 1)])
    }
}

async fn a_reader_or_a_permit_is_one_command_each_way(fixture: Fixture) {
    let (redis, locks) = quiet(&fixture).await;
    let one = cost([("evalsha", 1)]);
    for (key, mode) in MODES {
        let (mut acquires, mut releases) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let before = redis.cost();
            let guard = acquired(&locks, key, mode).await;
            acquires.push(redis.cost_since(&before));
            let before = redis.cost();
            guard.release().await.unwrap();
            releases.push(redis.cost_since(&before));
        }
        assert_mostly(&format!("acquires of {mode}"), &acquires, |sent| *sent == one);
        assert_mostly(&format!("releases of {mode}"), &releases, |sent| *sent == one);
    }
    support::scenarios::cost::a_pair_beside_others_costs(&redis, &locks, &one, &one).await;
}

/// As a writer is, by the same commands in the script; and the second makes others of it, which go with it.
async fn a_lone_reader_or_permit_is_one_key(fixture: Fixture) {
    let (redis, locks) = quiet(&fixture).await;
    let other = quiet_client(&redis).await;
    for (key, mode) in MODES {
        let (mut acquires, mut releases) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let mut guard = None;
            let acquire = async { guard = Some(acquired(&locks, key, mode).await) };
            acquires.push(Spent::by(&redis, ["exists", "incrby", "set", "time"], acquire).await);
            assert_eq!(redis.keys(&format!("*{key}*")), [key]);
            let release = async { guard.unwrap().release().await.unwrap() };
            releases.push(Spent::by(&redis, ["mget", "del"], release).await);
        }
        // The clock and the fence too, if it was not looked at within a millisecond.
        assert_mostly(&format!("acquires of {mode}"), &acquires, |spent| match spent.of {
            [1, 1, sets, looks] => spent.is_one_request() && sets == 1 + looks && spent.all == 3 + 2 * looks,
            _ => false,
        });
        assert_mostly(&format!("releases of {mode}"), &releases, |spent| spent.of == [1, 1] && spent.all == 2);
        let guard = acquired(&locks, key, mode).await;
        let second = acquired(&other, key, mode).await;
        let of = |ending: &str| format!("{{{key}}}:{ending}");
        assert_eq!(redis.left(key), [key.to_owned(), of("holder"), of("holders")]);
        second.release().await.unwrap();
        guard.release().await.unwrap();
        nothing_is_left(&redis, key).await;
    }
}

/// Ten commands in the server, and three: as docs/stores.md says.
async fn eight_locks_are_one_command_each_way(fixture: Fixture) {
    let (redis, locks) = quiet(&fixture).await;
    let keys: Vec<String> = (0..8).map(|number| format!("several/{number}")).collect();
    let (mut acquires, mut releases) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut guard = None;
        let acquire = async { guard = Some(in_time(locks.lock_all(&keys).acquire()).await.unwrap()) };
        acquires.push(Spent::by(&redis, ["exists", "incrby", "set", "time"], acquire).await);
        assert_eq!(redis.left("several"), keys);
        let release = async { guard.unwrap().release().await.unwrap() };
        releases.push(Spent::by(&redis, ["exists", "mget", "del"], release).await);
        assert_eq!(redis.left("several"), [""; 0]);
    }
    // One look, one count, a value for each; and the clock and the fence, if it was not looked at within a millisecond.
    assert_mostly("acquires", &acquires, |spent| match spent.of {
        [1, 1, sets, looks] => spent.is_one_request() && sets == 8 + looks && spent.all == 10 + 2 * looks,
        _ => false,
    });
    assert_mostly("releases", &releases, |spent| spent.is_one_request() && spent.of == [1, 1, 1] && spent.all == 3);
}

/// Waits until the lock is renewed: its key lasts for longer than it did at a look before.
async fn renewed(redis: &Redis, key: &str) {
    let mut least = i64::MAX;
    eventually(async || match redis.ask(&["PTTL", key]).number() {
        left if left > least => Ok(()),
        left => {
            least = left;
            Err(format!("{key} lasts for {left} ms"))
        }
    })
    .await;
}

/// Six of two clients.
async fn readers_after_a_writer_are_notified_each_once(fixture: Fixture) {
    let (redis, writer) = quiet(&fixture).await;
    let clients = [quiet_client(&redis).await, quiet_client(&redis).await];
    let guard = writer.lock("k").acquire().await.unwrap();
    let waiting: Vec<_> =
        (0..6).map(|reader| tokio::spawn(clients[reader % 2].lock("k").mode(Mode::Shared).acquire())).collect();
    queued(&writer, "k", 6).await;
    eventually(async || match redis.counts().of("subscribe") {
        2 => Ok(()),
        count => Err(count),
    })
    .await;
    let before = redis.counts();
    guard.release().await.unwrap();
    let mut readers = Vec::new();
    for reader in waiting {
        readers.push(granted(reader).await);
    }
    // Of the release one to whoever watches; of each grant one to whoever watches and one to whose it is.
    let published = redis.counts().of("publish") - before.of("publish");
    assert_eq!(published, 1 + 6 * 2, "messages");
    for reader in readers {
        reader.check().unwrap();
        reader.release().await.unwrap();
    }
    nothing_is_left(&redis, "k").await;
}

/// As redis-py and redsync have it.
fn set(redis: &Redis, key: &str) -> bool {
    redis.ask(&["SET", key, "64f1c0de64f1c0de64f1c0de64f1c0de", "NX", "PX", "600000"]).text().is_some()
}

async fn clients_that_know_only_set_are_kept_out_by_readers_and_permits_and_keep_them_out(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let (ours, theirs) = (connect(&redis.url()), connect(&redis.url()));
    for (key, mode) in MODES {
        let first = acquired(&ours, key, mode).await;
        assert!(!set(&redis, key), "beside one");
        let second = acquired(&theirs, key, mode).await;
        assert!(!set(&redis, key), "beside two");
        first.release().await.unwrap();
        assert!(!set(&redis, key), "beside the one that is left");
        let left = redis.ask(&["PTTL", key]).number();
        assert!((1..=60_000).contains(&left), "it ends with the last of them: {left}");
        second.release().await.unwrap();
        assert!(set(&redis, key), "nobody holds it");
        let busy = ours.lock(key).mode(mode).wait(Duration::ZERO).acquire().await.unwrap_err();
        assert!(busy.kind() == ErrorKind::Busy && !busy.holder().unwrap().is_known(), "{busy}");
        let waiting: Vec<_> = [&ours, &theirs].map(|locks| tokio::spawn(locks.lock(key).mode(mode).acquire())).into();
        queued(&ours, key, 2).await;
        redis.ask(&["DEL", key]);
        for waiter in waiting {
            // Both, once the first has found out.
            granted(waiter).await.check().unwrap();
        }
        nothing_is_left(&redis, key).await;
    }
}

/// The others have lost as well: whoever took the key meanwhile has the lock.
async fn a_reader_whose_key_is_deleted_has_lost(fixture: Fixture) {
    const TTL: Duration = Duration::from_secs(8);
    let redis = fixture.start(&Setup::default());
    let (ours, theirs) = (connect(&redis.url()), connect(&redis.url()));
    let bodies = [&ours, &theirs].map(|locks| {
        let lock = locks.lock("k").mode(Mode::Shared).ttl(TTL);
        tokio::spawn(lock.run(async |_| std::future::pending::<()>().await))
    });
    eventually(async || match ours.inspect("k").await.unwrap().map_or(0, |line| line.holders.len()) {
        2 => Ok(()),
        holders => Err(holders),
    })
    .await;
    redis.ask(&["DEL", "k"]);
    assert!(set(&redis, "k"));
    for body in bodies {
        assert_eq!(lost(body).await.kind(), ErrorKind::Lost);
    }
    assert!(redis.ask(&["GET", "k"]).text().unwrap().starts_with("64f1"), "the other's lock stays");
    redis.ask(&["DEL", "k"]);
    nothing_is_left(&redis, "k").await;
}

/// Two hold the lock, and the client of one is cut off. Returns the other, when that one's place is free.
async fn one_is_cut_off(redis: &Redis, mode: Mode) -> Guard {
    const TTL: Duration = Duration::from_secs(5);
    let (proxy, cut_off) = behind_proxy(redis, RARE).await;
    let ours = connect(&redis.url());
    let lives = ours.lock("k").mode(mode).ttl(TTL).acquire().await.unwrap();
    let ends = cut_off.lock("k").mode(mode).ttl(TTL).acquire().await.unwrap();
    proxy.set(proxy::Mode::Silent);
    let holders = async || ours.inspect("k").await.unwrap().unwrap().holders.len();
    assert_eq!(holders().await, 2);
    eventually(async || match holders().await {
        1 => Ok(()),
        holders => Err(holders),
    })
    .await;
    lives.check().unwrap();
    assert_eq!(in_time(ends.lost()).await.kind(), ErrorKind::Lost);
    lives
}

async fn a_dead_reader_frees_its_place_while_another_renews(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let lives = one_is_cut_off(&redis, Mode::Shared).await;
    let theirs = connect(&redis.url());
    let writer = tokio::spawn(theirs.lock("k").acquire());
    queued(&theirs, "k", 1).await;
    lives.release().await.unwrap();
    granted(writer).await.release().await.unwrap();
    nothing_is_left(&redis, "k").await;
}

async fn a_dead_permit_comes_back_while_another_renews(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let permit = Mode::Permits(2);
    let theirs = connect(&redis.url());
    let lives = one_is_cut_off(&redis, permit).await;
    let next = acquired(&theirs, "k", permit).await;
    assert!(theirs.lock("k").mode(permit).name("a third").try_acquire().await.unwrap().is_none());
    lives.check().unwrap();
    next.release().await.unwrap();
    lives.release().await.unwrap();
    nothing_is_left(&redis, "k").await;
}

async fn one_of_several_holders_is_released_by_force(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let (ours, theirs) = (connect(&redis.url()), connect(&redis.url()));
    for (key, mode) in [("writer", Mode::Exclusive), MODES[0], MODES[1]] {
        let stays = match mode {
            Mode::Exclusive => None,
            _ => Some(acquired(&ours, key, mode).await),
        };
        let ends = theirs.lock(key).mode(mode).name("ends").acquire().await.unwrap();
        let line = ours.inspect(key).await.unwrap().unwrap();
        let seen = line.holders.iter().find(|holder| holder.name == "ends").unwrap();
        assert!(seen.since_ms.is_some() && seen.until_ms > seen.since_ms, "{seen:?}");
        assert_eq!(seen.fence.unwrap(), ends.fence().number(), "{mode}");
        assert!(!ours.force_release_if(key, seen.fence.unwrap() + 1).await.unwrap());
        assert!(ours.force_release_if(key, seen.fence.unwrap()).await.unwrap());
        assert_eq!(in_time(ends.lost()).await.kind(), ErrorKind::Lost);
        if let Some(stays) = stays {
            stays.check().unwrap();
            assert_eq!(ours.inspect(key).await.unwrap().unwrap().holders.len(), 1);
            stays.release().await.unwrap();
        }
        drop(ends);
        nothing_is_left(&redis, key).await;
    }
}

async fn another_hold_than_the_one_that_was_seen_is_not_released(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let (ours, theirs) = (connect(&redis.url()), connect(&redis.url()));
    let first = theirs.lock("k").acquire().await.unwrap();
    let seen = ours.inspect("k").await.unwrap().unwrap().holders[0].fence.unwrap();
    first.release().await.unwrap();
    let second = acquired(&connect(&redis.url()), "k", Mode::Exclusive).await;
    assert!(!ours.force_release_if("k", seen).await.unwrap());
    second.check().unwrap();
    // Divided, because somebody waits behind it.
    let waiting = tokio::spawn(theirs.lock("k").acquire());
    queued(&ours, "k", 1).await;
    assert!(!ours.force_release_if("k", seen).await.unwrap());
    let seen = ours.inspect("k").await.unwrap().unwrap().holders[0].fence.unwrap();
    assert_eq!(seen, second.fence().number());
    assert!(ours.force_release_if("k", seen).await.unwrap());
    granted(waiting).await.release().await.unwrap();
}

async fn locks_in_several_slots_of_a_cluster_are_refused(fixture: Fixture) {
    let redis = fixture.start(&Setup { slots: Some(0..16_384), ..Setup::default() });
    redis.serves_cluster().await;
    let locks = connect(&redis.url());
    let error = in_time(locks.lock_all(["foo", "bar"]).acquire()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("hash tag"), "{error}");
    assert_eq!(redis.all_keys(), [""; 0]);
}

async fn locks_with_a_hash_tag_are_held_together_in_a_cluster(fixture: Fixture) {
    const TTL: Duration = Duration::from_secs(8);
    let redis = fixture.start(&Setup { slots: Some(0..16_384), ..Setup::default() });
    redis.serves_cluster().await;
    let (ours, theirs) = (connect(&redis.url()), connect(&redis.url()));
    let keys = ["{accounts}/1", "{accounts}/2", "{accounts}/3"];
    let guard = ours.lock_all(keys).ttl(TTL).acquire().await.unwrap();
    let waiting = tokio::spawn(theirs.lock_all(&keys[1..]).ttl(TTL).acquire());
    queued(&ours, keys[1], 1).await;
    for key in keys.iter().chain(&keys) {
        renewed(&redis, key).await;
    }
    guard.check().unwrap();
    guard.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
    eventually(async || match redis.all_keys() {
        keys if keys.is_empty() => Ok(()),
        keys => Err(keys),
    })
    .await;
}

/// `maxmemory` with `noeviction`, as docs/stores.md asks for.
async fn readers_are_renewed_and_released_where_there_is_no_room(fixture: Fixture) {
    const TTL: Duration = Duration::from_secs(6);
    let redis = fixture.start(&Setup::default());
    let (ours, theirs) = (connect(&redis.url()), connect(&redis.url()));
    let several = ours.lock_all(["one", "two"]).ttl(TTL).acquire().await.unwrap();
    let mut readers = Vec::new();
    for locks in [&ours, &theirs] {
        readers.push(locks.lock("k").mode(Mode::Shared).ttl(TTL).acquire().await.unwrap());
    }
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let ends = || {
        let Answer::List(items) = redis.ask(&["ZRANGE", "{k}:holders", "0", "-1", "WITHSCORES"]) else {
            unreachable!("a list")
        };
        let ends = items.chunks(2).map(|item| item[1].clone().text().unwrap().parse().unwrap());
        ends.collect::<Vec<u64>>()
    };
    // Each reader has a time of its own.
    let before = ends();
    eventually(async || match ends() {
        now if now.len() == 2 && now[0] > before[1] => Ok(()),
        now => Err(format!("{now:?} after {before:?}")),
    })
    .await;
    for key in ["one", "two", "k", "one", "two", "k"] {
        renewed(&redis, key).await;
    }
    for guard in readers.into_iter().chain([several]) {
        guard.check().unwrap();
        guard.release().await.unwrap();
    }
    assert_eq!(redis.all_keys(), [""; 0]);
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
}
