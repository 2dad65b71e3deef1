//! Readers, permits, and several locks at one moment: what they cost, and what others in the table do to them.

use crate::cost::quiet;
use crate::{Case, Fixture};
use distributed_locks::{ErrorKind, Guard, Locks, Mode};
use std::time::Duration;
use support::mysql::Setup;
use support::proxy::Mode as Network;
use support::scenarios::cost::{self, cost};
use support::scenarios::sql::peers::ShedLocksDatabase;
use support::scenarios::{behind_proxy, chain, connect, granted, many, nothing_is_left, queued};
use support::{HANG_LIMIT, Server, cases, in_time};
use tokio::task::JoinHandle;

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_reader_or_a_permit_is_four_statements,
        eight_locks_at_one_moment_are_four_statements,
        a_try_that_is_refused_writes_nothing,
        a_dead_permit_comes_back_though_others_renew,
        a_dead_writer_lets_those_behind_it_hold,
        several_in_opposite_order_are_no_deadlock,
        one_row_that_somebody_sits_on_loses_those_that_need_it,
        only_the_holder_that_was_seen_is_released_by_force,
        shedlocks_table_has_no_modes_and_says_so,
    ]
}

const KEYS: [&str; 8] = ["/h", "/b", "/f", "/d", "/e", "/c", "/g", "/a"];

async fn acquire(locks: &Locks, key: &str, mode: Mode) -> Guard {
    in_time(locks.lock(key).mode(mode).wait(HANG_LIMIT).acquire()).await.unwrap()
}

fn wait(locks: &Locks, key: &str, mode: Mode) -> JoinHandle<Result<Guard, distributed_locks::Error>> {
    tokio::spawn(locks.lock(key).mode(mode).wait(HANG_LIMIT).acquire())
}

/// Each reads the row, and writes it.
async fn a_reader_or_a_permit_is_four_statements(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let two = cost([("statements", 2)]);
    for key in ["/readers", "/permits"] {
        acquire(&locks, key, Mode::Exclusive).await.release().await.unwrap();
    }
    cost::a_pair_beside_others_costs(&server, &locks, &two, &two).await;
}

async fn eight_locks_at_one_moment_are_four_statements(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    in_time(locks.lock_all(KEYS).acquire()).await.unwrap().release().await.unwrap();
    let two = cost([("statements", 2)]);
    for (mode, left) in [(Mode::Exclusive, 8), (Mode::Exclusive, 8), (Mode::Shared, 16), (Mode::Shared, 16)] {
        let before = server.cost();
        let guard = in_time(locks.lock_all(KEYS).mode(mode).acquire()).await.unwrap();
        assert_eq!(server.cost_since(&before), two, "to acquire");
        assert_eq!(server.left("/").len(), left, "{mode}");
        let before = server.cost();
        guard.release().await.unwrap();
        assert_eq!(server.cost_since(&before), two, "to release");
        assert_eq!(server.left("/"), [""; 0]);
    }
}

async fn a_try_that_is_refused_writes_nothing(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    for key in ["/a", "/b", "/c"] {
        acquire(&locks, key, Mode::Exclusive).await.release().await.unwrap();
    }
    let other = cost::quiet_client(&server).await;
    let writer = acquire(&other, "/b", Mode::Exclusive).await;
    let rows = || server.sql("SELECT name, version FROM distributed_locks ORDER BY name");
    for wanted in [
        locks.lock("/b").mode(Mode::Shared),
        locks.lock("/b").mode(Mode::Permits(7)),
        locks.lock_all(["/c", "/b", "/a"]),
        locks.lock_all(["/c", "/b"]).mode(Mode::Shared),
    ] {
        let (before, cost_before) = (rows(), server.cost());
        let error = wanted.wait(Duration::ZERO).acquire().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert_eq!(server.cost_since(&cost_before), cost([("statements", 1)]));
        assert_eq!(rows(), before);
    }
    writer.release().await.unwrap();
}

async fn a_dead_permit_comes_back_though_others_renew(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let permit = Mode::Permits(2);
    let lives = connect(&server.url_with("ttl=3s"));
    let stays = acquire(&lives, "/k", permit).await;
    let (network, dies) = behind_proxy(&server, "ttl=3s&connect_timeout=60s").await;
    let dead = acquire(&dies, "/k", permit).await;
    let waiting = wait(&connect(&server.url_with("ttl=3s")), "/k", permit);
    queued(&lives, "/k", 1).await;
    network.set(Network::Silent);
    let next = granted(waiting).await;
    stays.check().unwrap();
    assert_eq!(in_time(dead.lost()).await.kind(), ErrorKind::Lost);
    many::release(vec![stays, next]).await;
    nothing_is_left(&server, "/k").await;
}

async fn a_dead_writer_lets_those_behind_it_hold(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let lives = connect(&server.url_with("ttl=3s"));
    let stays = acquire(&lives, "/k", Mode::Shared).await;
    let (network, dies) = behind_proxy(&server, "ttl=3s&connect_timeout=60s").await;
    let writer = wait(&dies, "/k", Mode::Exclusive);
    queued(&lives, "/k", 1).await;
    let reader = wait(&connect(&server.url_with("ttl=3s")), "/k", Mode::Shared);
    queued(&lives, "/k", 2).await;
    network.set(Network::Silent);
    let next = granted(reader).await;
    stays.check().unwrap();
    many::release(vec![stays, next]).await;
    nothing_is_left(&server, "/k").await;
    drop(writer);
}

async fn several_in_opposite_order_are_no_deadlock(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let tasks: Vec<_> = (0..6)
        .map(|number| {
            let locks = connect(&server.url());
            tokio::spawn(async move {
                for round in 0..10 {
                    let mut keys = KEYS;
                    keys.rotate_left((number + round) % KEYS.len());
                    let some = &keys[..3 + (number + round) % 3];
                    let guard = locks.lock_all(some.to_vec()).wait(HANG_LIMIT).acquire().await.unwrap();
                    guard.release().await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        in_time(task).await.unwrap();
    }
    nothing_is_left(&server, "/").await;
}

async fn one_row_that_somebody_sits_on_loses_those_that_need_it(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = Locks::connect(server.url_with("ttl=6s&connect_timeout=60s")).unwrap();
    let both = in_time(locks.lock_all(["/a", "/b"]).acquire()).await.unwrap();
    let readers = acquire(&locks, "/c", Mode::Shared).await;
    let sitting = server.begin("SELECT name FROM distributed_locks WHERE name = '/b' FOR UPDATE");
    let error = in_time(both.lost()).await;
    assert!(chain(&error).contains("another transaction"), "{}", chain(&error));
    readers.check().unwrap();
    drop(sitting);
    readers.release().await.unwrap();
    drop(both);
    nothing_is_left(&server, "/").await;
}

async fn only_the_holder_that_was_seen_is_released_by_force(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let (ours, theirs) = (connect(&server.url()), connect(&server.url()));
    let (first, second) = (acquire(&ours, "/k", Mode::Shared).await, acquire(&theirs, "/k", Mode::Shared).await);
    let seen = first.fence().number();
    assert!(!ours.force_release_if("/k", 7).await.unwrap());
    assert!(theirs.force_release_if("/k", seen).await.unwrap());
    assert!(!theirs.force_release_if("/k", seen).await.unwrap());
    second.check().unwrap();
    assert_eq!(ours.inspect("/k").await.unwrap().unwrap().holders.len(), 1);
    second.release().await.unwrap();
    drop(first);
    nothing_is_left(&server, "/k").await;
}

async fn shedlocks_table_has_no_modes_and_says_so(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    server.create_shedlocks_table("shedlock");
    let locks = connect(&server.url_with("table=shedlock"));
    for wanted in
        [locks.lock("k").mode(Mode::Shared), locks.lock("k").mode(Mode::Permits(2)), locks.lock_all(["a", "b"])]
    {
        let error = wanted.acquire().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
    }
}
