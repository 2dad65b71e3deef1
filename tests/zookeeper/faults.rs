//! What goes wrong while a lock is wanted, held or released.

use crate::{Case, Fixture};
use distributed_locks::store::{Change, Entered, Entry, WhenBusy};
use distributed_locks::{ErrorKind, Holder, Key};
use std::sync::Arc;
use std::time::Duration;
use support::proxy::{Mode, Proxy};
use support::scenarios::{acquire_and_release, client, connect, faults, held, lost};
use support::stores::zookeeper_at;
use support::{Server, cases, eventually, in_time};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        faults::a_late_request_is_withdrawn,
        a_deletion_is_noticed_by_a_watch,
        a_lost_answer_is_the_same_position_in_the_queue,
        a_watch_goes_on_after_a_broken_connection,
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

/// The entry whose creation was not answered is found by its name, and keeps its position.
async fn a_lost_answer_is_the_same_position_in_the_queue(fixture: Fixture) {
    let (server, key) = (fixture.server(), fixture.key("k"));
    acquire_and_release(&client(&fixture), &key).await;
    let proxy = Proxy::to(server.address());
    let session = zookeeper_at(&proxy.addr().to_string(), String::new()).open(Duration::from_secs(90)).await.unwrap();
    let entry = Arc::new(Entry::new(Key::new(&key).unwrap(), 7, Holder::unknown().into()));
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
