//! What goes wrong while a lock is wanted, held or released.

use crate::{Case, Fixture};
use distributed_locks::store::{Change, Entered, Entry, WhenBusy};
use distributed_locks::{ErrorKind, Holder, Key};
use std::sync::Arc;
use std::time::Duration;
use support::proxy::{Mode, Proxy};
use support::scenarios::{acquire_and_release, chain, client, connect, faults, granted, held, lost};
use support::stores::zookeeper_at;
use support::zookeeper::Setup;
use support::{HANG_LIMIT, Server, cases, eventually, in_time};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        faults::a_late_request_is_withdrawn,
        a_deletion_is_noticed_by_a_watch,
        a_deletion_is_noticed_where_there_are_too_many_to_watch,
        a_lost_answer_is_the_same_position_in_the_queue,
        a_watch_goes_on_after_a_broken_connection,
        an_ensemble_that_has_gone_back_ends_the_sessions_of_before,
        a_quota_that_is_used_up_is_named,
        another_clients_node_of_an_entrys_name_is_not_the_entry,
    ]
}

/// Long holds are watched from the first renewal on.
async fn a_deletion_is_noticed_by_a_watch(fixture: Fixture) {
    let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    let body = held(&locks, &key, 12).await;
    eventually(async || match server.command("wchp") {
        Some(watched) if watched.contains(&key) => Ok(()),
        watched => Err(watched),
    })
    .await;
    server.delete(&key);
    let error = lost(body).await;
    assert!(error.to_string().contains("deleted"), "{error}");
    // The client still works.
    acquire_and_release(&locks, &key).await;
}

/// One session watches 96 KiB of paths at most; the others are polled.
async fn a_deletion_is_noticed_where_there_are_too_many_to_watch(fixture: Fixture) {
    const HOLDS: usize = 300;
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url_with("ttl=6s"));
    let above = format!("/{}", "long".repeat(100));
    let mut guards = Vec::new();
    for number in 0..HOLDS {
        guards.push(locks.lock(format!("{above}/{number}")).acquire().await.unwrap());
    }
    eventually(async || match server.count("zk_watch_count") {
        watches if watches > 100 => Ok(()),
        watches => Err(watches),
    })
    .await;
    assert!(server.count("zk_watch_count") < 250, "some are not watched");
    let other = connect(&server.url());
    for number in 0..HOLDS {
        assert!(other.force_release(format!("{above}/{number}")).await.unwrap());
    }
    eventually(async || match guards.iter().filter(|guard| guard.is_held()).count() {
        0 => Ok(()),
        held => Err(held),
    })
    .await;
}

/// The entry whose creation was not answered is found by its name, and keeps its position.
async fn a_lost_answer_is_the_same_position_in_the_queue(fixture: Fixture) {
    let (server, key) = (fixture.server(), fixture.key("k"));
    acquire_and_release(&client(&fixture), &key).await;
    let proxy = Proxy::to(server.address());
    let session = zookeeper_at(&proxy.addr().to_string(), String::new()).open(Duration::from_secs(90)).await.unwrap();
    let [first, entry] =
        [6, 7].map(|number| Arc::new(Entry::new(Key::new(&key).unwrap(), number, Holder::unknown().into())));
    // From now on the session knows that the lock's node is there: it does not look first.
    session.enter(first.clone(), WhenBusy::Queue).await.unwrap();
    session.leave(first).await.unwrap();
    proxy.set(Mode::Unanswered);
    let error = session.enter(entry.clone(), WhenBusy::Queue).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let there = server.left(&key);
    assert_eq!(there.len(), 1, "created although it was not answered");
    proxy.set(Mode::Refuse);
    proxy.set(Mode::Pass);
    let again = eventually(async || session.enter(entry.clone(), WhenBusy::Queue).await).await;
    assert!(matches!(again, Entered::Held(_)), "{again:?}");
    assert_eq!(server.left(&key), there);
    session.leave(entry).await.unwrap();
    assert_eq!(server.left(&key), [""; 0]);
    session.close().await.unwrap();
}

async fn a_watch_goes_on_after_a_broken_connection(fixture: Fixture) {
    let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    let proxy = Proxy::to(server.address());
    let mut watch = connect(&server.url_at(&proxy.addr().to_string())).watch(&key).await.unwrap();
    for _ in 0..3 {
        let guard = locks.lock(&key).acquire().await.unwrap();
        let change = in_time(watch.next()).await;
        assert!(matches!(change, Some(Change::Acquired(..))), "{change:?}");
        proxy.set(Mode::Refuse);
        guard.release().await.unwrap();
        proxy.set(Mode::Pass);
        let change = in_time(watch.next()).await;
        assert!(matches!(change, Some(Change::Released(..))), "{change:?}");
    }
}

/// Its fences begin again with smaller ones, and whoever held a lock before holds it no more.
async fn an_ensemble_that_has_gone_back_ends_the_sessions_of_before(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let store = zookeeper_at(&server.endpoint(), String::new());
    let entry = |number| Arc::new(Entry::new(Key::new("/k").unwrap(), number, Holder::unknown().into()));
    let before = store.open(Duration::from_secs(90)).await.unwrap();
    for number in 0..20 {
        assert!(matches!(before.enter(entry(number), WhenBusy::Refuse).await.unwrap(), Entered::Held(_)));
        before.leave(entry(number)).await.unwrap();
    }
    server.restart_without_data();
    let after = eventually(async || store.open(Duration::from_secs(90)).await).await;
    let errors = [after.enter(entry(20), WhenBusy::Refuse).await.unwrap_err(), before.renew().await.unwrap_err()];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Lost);
        assert!(error.to_string().contains("gone back in time"), "{error}");
    }
    let anew = store.open(Duration::from_secs(90)).await.unwrap();
    let entered = eventually(async || match anew.enter(entry(21), WhenBusy::Refuse).await {
        // Until the server has closed the session before.
        Ok(Entered::Busy(holder)) => Err(format!("{holder}")),
        other => Ok(other.unwrap()),
    });
    assert!(matches!(entered.await, Entered::Held(_)));
}

/// The server answers and refuses: that is tried again, and then reported.
async fn a_quota_that_is_used_up_is_named(fixture: Fixture) {
    let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    let held = locks.lock(format!("{key}/held")).acquire().await.unwrap();
    server.command_line(&["setquota", "-N", "2", &key]);
    let error = locks.lock(format!("{key}/more")).wait(Duration::from_secs(2)).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    assert!(chain(&error).contains("quota") && chain(&error).contains(&server.endpoint()), "{}", chain(&error));
    held.check().unwrap();
    let waiting = tokio::spawn(locks.lock(format!("{key}/more")).wait(HANG_LIMIT).acquire());
    server.command_line(&["delquota", "-N", &key]);
    granted(waiting).await.release().await.unwrap();
    held.release().await.unwrap();
}

/// The names of entries can be guessed.
async fn another_clients_node_of_an_entrys_name_is_not_the_entry(fixture: Fixture) {
    let (server, key) = (fixture.server(), fixture.key("k"));
    let locks = client(&fixture);
    // The server would remove the lock's node while nothing is below it.
    let stays = locks.lock(format!("{key}/stays")).acquire().await.unwrap();
    let proxy = Proxy::to(server.address());
    let session = zookeeper_at(&proxy.addr().to_string(), String::new()).open(Duration::from_secs(90)).await.unwrap();
    let entry = |number| Arc::new(Entry::new(Key::new(&key).unwrap(), number, Holder::unknown().into()));
    session.enter(entry(1), WhenBusy::Refuse).await.unwrap();
    let forged = server.left(&key)[0].replace("000000000001-lock-", "000000000007-lock-");
    session.leave(entry(1)).await.unwrap();
    server.command_line(&["create", &forged, "forged"]);
    proxy.set(Mode::Refuse);
    // It is not sent at all, and what is there is not the answer.
    let error = session.enter(entry(7), WhenBusy::Refuse).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    proxy.set(Mode::Pass);
    let entered = eventually(async || session.enter(entry(7), WhenBusy::Refuse).await).await;
    assert!(matches!(entered, Entered::Held(_)), "{entered:?}");
    assert_eq!(server.left(&key).len(), 2, "an entry of its own, beside the one that stays");
    session.leave(entry(7)).await.unwrap();
    assert_eq!(server.left(&key).len(), 1);
    server.command_line(&["delete", &forged]);
    stays.release().await.unwrap();
    session.close().await.unwrap();
}
