//! Readers, permits, and several locks at one moment: what others in the table do to them.

#![expect(missing_docs, reason = "the name of a scenario is what it shows")]

use std::time::Duration;

use distributed_locks::{Error, ErrorKind, Guard, Locks, Mode};
use tokio::task::JoinHandle;

use super::Database;
use super::neighbours::sit_on;
use super::peers::ShedLocksDatabase;
use crate::cases::{Fixture, Program};
use crate::proxy::Mode as Network;
use crate::scenarios::cost::cost;
use crate::scenarios::{behind_proxy, chain, connect, granted, many, nothing_is_left, queued};
use crate::{HANG_LIMIT, in_time};

/// Acquires a lock in this mode.
pub async fn acquire(locks: &Locks, key: &str, mode: Mode) -> Guard {
    in_time(locks.lock(key).mode(mode).wait(HANG_LIMIT).acquire()).await.unwrap()
}

/// As [`acquire`], in a task of its own.
pub fn wait(locks: &Locks, key: &str, mode: Mode) -> JoinHandle<Result<Guard, Error>> {
    tokio::spawn(locks.lock(key).mode(mode).wait(HANG_LIMIT).acquire())
}

/// The first client is on a [quiet](crate::scenarios::cost::quiet) server; another holds `/b`. `rows` reads all that the rows
/// of locks have.
pub async fn a_try_that_is_refused_writes_nothing(server: &impl Database, locks: &Locks, rows: impl Fn() -> String) {
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
}

pub async fn a_dead_permit_comes_back_though_others_renew<P: Program<Server: Database>>(fixture: Fixture<P>) {
    let server = fixture.start(&P::Setup::default());
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

pub async fn a_dead_writer_lets_those_behind_it_hold<P: Program<Server: Database>>(fixture: Fixture<P>) {
    let server = fixture.start(&P::Setup::default());
    let lives = connect(&server.url_with("ttl=3s"));
    let stays = acquire(&lives, "/k", Mode::Shared).await;
    let (network, dies) = behind_proxy(&server, "ttl=3s&connect_timeout=60s").await;
    let writer = wait(&dies, "/k", Mode::Exclusive);
    queued(&lives, "/k", 1).await;
    let reader = wait(&connect(&server.url_with("ttl=3s")), "/k", Mode::Shared);
    queued(&lives, "/k", 2).await;
    network.set(Network::Silent);
    let beside = granted(reader).await;
    stays.check().unwrap();
    writer.abort();
    many::release(vec![stays, beside]).await;
    nothing_is_left(&server, "/k").await;
}

pub async fn one_row_that_somebody_sits_on_loses_those_that_need_it<P: Program<Server: Database>>(fixture: Fixture<P>) {
    let server = fixture.start(&P::Setup::default());
    let locks = connect(&server.url_with("ttl=9s&connect_timeout=60s"));
    let several = in_time(locks.lock_all(["/a", "/b"]).acquire()).await.unwrap();
    let (reader, other) = (acquire(&locks, "/r", Mode::Shared).await, acquire(&locks, "/s", Mode::Shared).await);
    // By a transaction for each: of several rows MariaDB might look at all of the table, and lock what it looks at.
    let sitting = ["/b", "/r"].map(|key| sit_on(&server, "distributed_locks", key));
    for loses in [&several, &reader] {
        let error = in_time(loses.lost()).await;
        assert_eq!(error.kind(), ErrorKind::Lost);
        assert!(chain(&error).contains("another transaction"), "{}", chain(&error));
    }
    other.check().unwrap();
    drop((sitting, several, reader));
    other.release().await.unwrap();
    nothing_is_left(&server, "/").await;
}

pub async fn only_the_holder_that_was_seen_is_released_by_force<P: Program<Server: Database>>(fixture: Fixture<P>) {
    let server = fixture.start(&P::Setup::default());
    let (ours, theirs) = (connect(&server.url()), connect(&server.url()));
    let [one, two] = [acquire(&ours, "/k", Mode::Shared).await, acquire(&theirs, "/k", Mode::Shared).await];
    assert!(!ours.force_release_if("/k", 7).await.unwrap());
    assert!(theirs.force_release_if("/k", one.fence().number()).await.unwrap());
    assert!(!theirs.force_release_if("/k", one.fence().number()).await.unwrap(), "it has gone");
    assert_eq!(ours.inspect("/k").await.unwrap().unwrap().holders.len(), 1);
    assert_eq!(in_time(one.lost()).await.kind(), ErrorKind::Lost);
    drop(one);
    two.check().unwrap();
    two.release().await.unwrap();
    let alone = acquire(&ours, "/k", Mode::Exclusive).await;
    assert!(!theirs.force_release_if("/k", alone.fence().number() - 1).await.unwrap());
    alone.check().unwrap();
    assert!(theirs.force_release_if("/k", alone.fence().number()).await.unwrap());
    assert_eq!(in_time(alone.lost()).await.kind(), ErrorKind::Lost);
    nothing_is_left(&server, "/k").await;
}

pub async fn shedlocks_table_has_no_modes_and_says_so<P: Program<Server: ShedLocksDatabase>>(fixture: Fixture<P>) {
    let server = fixture.start(&P::Setup::default());
    server.create_shedlocks_table("shedlock");
    let locks = connect(&server.url_with("table=shedlock"));
    for refused in
        [locks.lock("k").mode(Mode::Shared), locks.lock("k").mode(Mode::Permits(2)), locks.lock_all(["k", "l"])]
    {
        let error = refused.acquire().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
    }
    let once = locks.once("k").run(async |_| Ok::<_, Error>(()));
    assert_eq!(once.await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(locks.forget("k").await.unwrap_err().kind(), ErrorKind::Unsupported);
    let guard = in_time(locks.lock("k").acquire()).await.unwrap();
    let line = locks.inspect("k").await.unwrap().unwrap();
    assert_eq!(line.holders[0].fence, Some(guard.fence().number()));
    assert!(!locks.force_release_if("k", guard.fence().number() + 1).await.unwrap());
    assert!(locks.force_release_if("k", guard.fence().number()).await.unwrap());
    assert_eq!(server.count("shedlock", &format!("lock_until > {}", P::Server::UTC)), 0);
}
