//! A store that is not the one that it was: two clusters behind one list of endpoints, a member that lost its data, a
//! snapshot that was restored.

use std::time::Duration;

use distributed_locks::{Error, ErrorKind, Locks};
use support::cases;
use support::cases::{Case, Fixture};
use support::etcd::{Cluster, Etcd, Setup};
use support::scenarios::{acquire_and_release, chain, connect, held, lost, nothing_is_left};
use support::{Server, eventually};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        two_clusters_behind_one_list_have_no_holder,
        a_minority_that_answers_first_is_not_believed,
        a_session_ends_at_the_answer_of_another_cluster,
        a_server_without_its_data_grants_no_smaller_fence,
        an_entry_that_comes_back_with_a_snapshot_blocks_nobody,
    ]
}

/// In seconds. A renewal is due after two.
const TTL: u64 = 6;

/// Enough for every request on a busy machine, and no retry for longer.
const PARAMETERS: &str = "?connect_timeout=15s";

fn both(one: &Etcd, other: &Etcd) -> String {
    one.url_at(&format!("{},{}", one.endpoint(), other.endpoint())) + PARAMETERS
}

async fn refused(locks: &Locks, key: &str) -> Error {
    let error = locks.lock(key).wait(Duration::ZERO).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    error
}

/// Whichever of them each client prefers.
async fn two_clusters_behind_one_list_have_no_holder(fixture: Fixture) {
    let (one, other) = (fixture.start(&Setup::default()), fixture.start(&Setup::default()));
    for _ in 0..4 {
        let locks = connect(&both(&one, &other));
        for _ in 0..3 {
            let error = refused(&locks, "/k").await;
            let named = [one.endpoint(), other.endpoint(), "one cluster".to_owned()];
            assert!(named.iter().all(|part| chain(&error).contains(part)), "{}", chain(&error));
        }
    }
    assert_eq!((one.left("/k"), other.left("/k")), (vec![], vec![]));
    // With one of them left, a client works again as it is.
    let locks = connect(&both(&one, &other));
    refused(&locks, "/k").await;
    other.kill();
    acquire_and_release(&locks, "/k").await;
}

/// The members that belong together are slow, and somebody else's server answers at once.
async fn a_minority_that_answers_first_is_not_believed(fixture: Fixture) {
    let cluster = Cluster::start(fixture.program(), 3);
    let (ours, foreign) = ([cluster.member(0), cluster.member(1)], fixture.start(&Setup::default()));
    let list = format!("{},{},{}", ours[0].endpoint(), foreign.endpoint(), ours[1].endpoint());
    let url = format!("etcd://{list}?connect_timeout=2s");
    ours.iter().for_each(|member| member.pause());
    // Whichever of them each client prefers.
    for _ in 0..3 {
        let error = refused(&connect(&url), "/k").await;
        assert!(chain(&error).contains("at least half"), "{}", chain(&error));
    }
    let waiting = connect(&url);
    let call = tokio::spawn(async move { waiting.lock("/k").wait(Duration::from_secs(60)).acquire().await });
    foreign.kill();
    ours.iter().for_each(|member| member.resume());
    call.await.unwrap().expect("the cluster answers again").release().await.unwrap();
    foreign.launch();
    foreign.await_ready();
    assert_eq!(foreign.left("/k"), Vec::<String>::new());
}

async fn a_session_ends_at_the_answer_of_another_cluster(fixture: Fixture) {
    let (one, other) = (fixture.start(&Setup::default()), fixture.start(&Setup::default()));
    other.kill();
    let locks = connect(&both(&one, &other));
    let body = held(&locks, "/k", TTL).await;
    other.launch();
    other.await_ready();
    one.kill();
    let error = lost(body).await;
    let named = [one.endpoint(), other.endpoint()];
    assert!(named.iter().all(|part| chain(&error).contains(part)), "{}", chain(&error));
}

async fn a_server_without_its_data_grants_no_smaller_fence(fixture: Fixture) {
    let etcd = fixture.start(&Setup { fast_election: true, ..Setup::default() });
    let locks = connect(&(etcd.url() + PARAMETERS));
    let grow = || drop(etcd.ctl(&["put", "noise", "x"]));
    (0..20).for_each(|_| grow());
    let before = locks.lock("/fenced").acquire().await.unwrap();
    let fence = before.fence();
    before.release().await.unwrap();
    let body = held(&locks, "/k", TTL).await;
    etcd.wipe();
    let error = lost(body).await;
    assert!(chain(&error).contains("--bump-revision"), "{}", chain(&error));
    let error = refused(&locks, "/fenced").await;
    assert!(error.is_retryable() && chain(&error).contains("--bump-revision"), "{}", chain(&error));
    assert_eq!(etcd.left("/fenced"), [""; 0]);
    // As far as it was, it is of use again, and this process needs no restart.
    let after = eventually(async || {
        grow();
        locks.lock("/fenced").wait(Duration::ZERO).acquire().await
    })
    .await;
    assert!(after.fence() > fence, "{:?} after {fence:?}", after.fence());
    after.release().await.unwrap();
}

async fn an_entry_that_comes_back_with_a_snapshot_blocks_nobody(fixture: Fixture) {
    let etcd = fixture.start(&Setup { fast_election: true, ..Setup::default() });
    let locks = connect(&(etcd.url() + PARAMETERS));
    // In one session with what is held at the end.
    let ttl = Duration::from_secs(TTL);
    let early = locks.lock("/early").ttl(ttl).acquire().await.unwrap();
    let saved = etcd.save();
    early.release().await.unwrap();
    nothing_is_left(&etcd, "/early").await;
    let late = held(&locks, "/late", TTL).await;
    // With the early entry, on the lease that the session still renews.
    etcd.restore(&saved);
    let error = lost(late).await;
    assert!(chain(&error).contains("--bump-revision"), "{}", chain(&error));
    nothing_is_left(&etcd, "/early").await;
    acquire_and_release(&connect(&etcd.url()), "/early").await;
    acquire_and_release(&connect(&etcd.url()), "/late").await;
}
