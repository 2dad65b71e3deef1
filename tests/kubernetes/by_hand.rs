//! What people do to Leases with `kubectl`: nobody holds beside another, and whoever lost a lock is told.

use crate::{Case, Fixture};
use distributed_locks::store::{Entered, Entry, WhenBusy};
use distributed_locks::{ErrorKind, Holder, Key};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use support::scenarios::{acquire_and_release, client, connect, granted, held, lost, queued};
use support::stores::kubernetes_at;
use support::{HANG_LIMIT, Server, cases, eventually};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_deleted_lease_is_noticed_by_a_watch,
        an_emptied_lease_is_lost,
        another_holder_by_hand_is_respected,
        what_is_written_beside_a_hold_does_not_end_it,
        annotations_taken_away_end_no_hold,
        a_line_that_was_deleted_is_joined_again,
        two_sessions_never_have_one_identity,
        the_server_shows_locks_as_they_are,
    ]
}

/// Long holds are watched from the first renewal on.
async fn a_deleted_lease_is_noticed_by_a_watch(fixture: Fixture) {
    let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    let before = server.cost().get("watch").copied().unwrap_or(0);
    let body = held(&locks, &key, 12).await;
    eventually(async || match server.cost().get("watch").copied().unwrap_or(0) {
        watches if watches > before => Ok(()),
        watches => Err(watches),
    })
    .await;
    server.delete(&key);
    let error = lost(body).await;
    assert!(error.to_string().contains("the Lease has another holder"), "{error}");
    acquire_and_release(&locks, &key).await;
}

async fn an_emptied_lease_is_lost(fixture: Fixture) {
    let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    let body = held(&locks, &key, 6).await;
    server.change(&server.name_of(&key), &json!({"spec": {"holderIdentity": null}}));
    lost(body).await;
    acquire_and_release(&locks, &key).await;
}

/// It is nobody's record, and stays for its own duration.
async fn another_holder_by_hand_is_respected(fixture: Fixture) {
    let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    let body = held(&locks, &key, 6).await;
    let name = server.name_of(&key);
    server.change(&name, &json!({"spec": {"holderIdentity": "somebody", "leaseDurationSeconds": 5}}));
    lost(body).await;
    let busy = locks.lock(&key).wait(Duration::ZERO).acquire().await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy, "{busy}");
    assert!(busy.to_string().contains("somebody"), "{busy}");
    let guard = locks.lock(&key).wait(HANG_LIMIT).acquire().await.unwrap();
    guard.release().await.unwrap();
}

async fn what_is_written_beside_a_hold_does_not_end_it(fixture: Fixture) {
    let (server, key) = (fixture.server(), fixture.key("k"));
    let locks = connect(&server.url_with("ttl=6s"));
    let guard = locks.lock(&key).acquire().await.unwrap();
    let name = server.name_of(&key);
    for round in 0..40 {
        server.change(&name, &json!({"metadata": {"labels": {"round": round.to_string()}}}));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    guard.check().unwrap();
    let fence = guard.fence();
    let line = locks.inspect(&key).await.unwrap().unwrap();
    assert_eq!(line.holders[0].fence, Some(fence.number()), "the versions are others by now");
    guard.release().await.unwrap();
    let next = locks.lock(&key).acquire().await.unwrap();
    assert!(next.fence() > fence);
    next.release().await.unwrap();
}

/// They are notes: who holds is in the `spec`.
async fn annotations_taken_away_end_no_hold(fixture: Fixture) {
    let (server, key) = (fixture.server(), fixture.key("k"));
    let locks = connect(&server.url_with("ttl=6s"));
    let guard = locks.lock(&key).acquire().await.unwrap();
    let name = server.name_of(&key);
    server.change(&name, &json!({"metadata": {"annotations": null}}));
    for _ in 0..3 {
        guard.renew().await.unwrap();
    }
    let waiting = tokio::spawn(connect(&server.url()).lock(&key).acquire());
    eventually(async || if server.left(&key).len() == 2 { Ok(()) } else { Err(server.lease(&name)) }).await;
    guard.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
}

/// Who waits finds out that its place is gone, and joins again.
async fn a_line_that_was_deleted_is_joined_again(fixture: Fixture) {
    let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    let body = held(&locks, &key, 6).await;
    let others = [client(&fixture), client(&fixture)];
    let waiting = others.each_ref().map(|locks| tokio::spawn(locks.lock(&key).wait(HANG_LIMIT).acquire()));
    queued(&locks, &key, 2).await;
    server.delete(&key);
    lost(body).await;
    let fences = serve(waiting).await;
    assert!(fences.len() == 2 && fences[0] < fences[1], "{fences:?}");
    acquire_and_release(&locks, &key).await;
}

/// In whatever order, one after the other.
async fn serve(
    waiting: [tokio::task::JoinHandle<Result<distributed_locks::Guard, distributed_locks::Error>>; 2],
) -> Vec<distributed_locks::Fence> {
    let (sender, mut guards) = tokio::sync::mpsc::unbounded_channel();
    for one in waiting {
        let sender = sender.clone();
        tokio::spawn(async move { sender.send(granted(one).await) });
    }
    drop(sender);
    let mut fences = Vec::new();
    while let Some(guard) = support::in_time(guards.recv()).await {
        guard.check().unwrap();
        fences.push(guard.fence());
        guard.release().await.unwrap();
    }
    fences
}

/// Not even two sessions of one process whose entries have the same number.
async fn two_sessions_never_have_one_identity(fixture: Fixture) {
    let (server, key) = (fixture.server(), fixture.key("k"));
    let store = kubernetes_at(&server.endpoint(), Some(server.file("ca.pem")), server.file("token"));
    let (ours, theirs) =
        (store.open(Duration::from_secs(30)).await.unwrap(), store.open(Duration::from_secs(30)).await.unwrap());
    let entry = || Arc::new(Entry::new(Key::new(&key).unwrap(), 1, Holder::unknown().into()));
    let (first, second) = (entry(), entry());
    assert!(matches!(ours.enter(first.clone(), WhenBusy::Refuse).await.unwrap(), Entered::Held(_)));
    assert!(matches!(theirs.enter(second.clone(), WhenBusy::Refuse).await.unwrap(), Entered::Busy(_)));
    // A copy of its identity under another uid is not it.
    let name = server.name_of(&key);
    let copied = server.lease(&name).unwrap()["spec"].clone();
    server.delete(&key);
    server.make_lease_with(&name, &json!({"spec": copied}));
    ours.renew().await.unwrap();
    let gone = support::in_time(ours.removed(first.clone())).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Lost, "{gone}");
    ours.close().await.unwrap();
    theirs.close().await.unwrap();
    server.delete_lease(&name);
}

/// For `kubectl get leases` and whatever reads Leases.
async fn the_server_shows_locks_as_they_are(fixture: Fixture) {
    let (server, locks) = (fixture.server(), client(&fixture));
    let key = format!("shown-{:x}", std::process::id());
    let guard = locks.lock(&key).name("report").ttl(Duration::from_secs(15)).acquire().await.unwrap();
    let lease = server.lease(&key).expect("the key is its name");
    let spec = &lease["spec"];
    assert!(spec["leaseDurationSeconds"] == 15 && spec["leaseTransitions"] == 0, "{lease}");
    assert!(spec["acquireTime"].is_string() && spec["acquireTime"] == spec["renewTime"], "{lease}");
    assert_eq!(lease["metadata"]["labels"]["app.kubernetes.io/managed-by"], "distributed-locks");
    assert_eq!(lease["metadata"]["resourceVersion"], guard.fence().number().to_string());
    guard.renew().await.unwrap();
    let renewed = server.lease(&key).unwrap();
    assert!(
        renewed["spec"]["acquireTime"] == spec["acquireTime"] && renewed["spec"]["renewTime"] != spec["renewTime"],
        "{renewed}"
    );
    guard.release().await.unwrap();
    assert_eq!(server.lease(&key), None);
}
