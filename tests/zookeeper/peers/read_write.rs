//! Read-write locks of the newest Curator, and of Kazoo; and their mutexes beside our readers and permits.

use crate::{Case, Fixture};
use distributed_locks::{ErrorKind, Guard, Locks, Mode};
use std::time::Duration;
use support::peers::{Driver, Peer, Slot};
use support::scenarios::peers::{Waits, each_excludes_the_other_as};
use support::scenarios::{client, connect, granted, queued};

/// The shortest session that the servers grant.
const TTL: Duration = Duration::from_secs(4);

const MODES: [Mode; 3] = [Mode::Exclusive, Mode::Shared, Mode::Permits(2)];

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("curator::a_mutex_and_our_readers_and_permits", a_mutex_and_our_readers).with(Peer::Curator),
        Case::new("curator::a_read_write_lock_and_we", curators_read_write_lock).with(Peer::Curator),
        Case::new("curator::readers_hold_beside_each_other", curators_readers).with(Peer::Curator),
        Case::new("curator::a_writer_that_becomes_a_reader", curators_downgrade).with(Peer::Curator),
        Case::new("curator::kinds_do_not_mix", kinds_do_not_mix).with(Peer::Curator),
        Case::new("kazoo::a_read_write_lock_and_we", kazoos_read_write_lock).with(Peer::Kazoo),
        Case::new("kazoo::readers_hold_beside_each_other", kazoos_readers).with(Peer::Kazoo),
        Case::new("kazoo::a_plain_lock_sees_no_readers", kazoos_plain_lock).with(Peer::Kazoo),
    ]
}

fn requested(fixture: &Fixture, peer: Peer, kind: &str, key: &str) -> Slot {
    let slot = Driver::shared(peer).slot();
    slot.say(&format!("lock {kind} {} {key} {}", fixture.server().endpoint(), TTL.as_millis()));
    slot
}

fn released(slot: &Slot) {
    slot.say("unlock");
    slot.expect("released");
}

fn of_layout(fixture: &Fixture, layout: &str) -> Locks {
    connect(&fixture.server().url_with(&format!("layout={layout}")))
}

async fn exclusion(fixture: &Fixture, locks: &Locks, peer: Peer, kind: &str, modes: &[Mode]) {
    for mode in modes {
        let key = fixture.key(&format!("{kind}{modes}", modes = mode.to_string().replace(' ', "-")));
        each_excludes_the_other_as(*mode, locks, &key, Waits::InTheQueue, || requested(fixture, peer, kind, &key))
            .await;
    }
}

async fn a_mutex_and_our_readers(fixture: Fixture) {
    exclusion(&fixture, &client(&fixture), Peer::Curator, "mutex", &MODES[1..]).await;
}

async fn curators_read_write_lock(fixture: Fixture) {
    read_write_lock(&fixture, Peer::Curator, "curator-rw").await;
}

async fn kazoos_read_write_lock(fixture: Fixture) {
    read_write_lock(&fixture, Peer::Kazoo, "kazoo").await;
}

/// Its writers and all of ours; its readers and all of ours but readers.
async fn read_write_lock(fixture: &Fixture, peer: Peer, layout: &str) {
    let locks = of_layout(fixture, layout);
    exclusion(fixture, &locks, peer, "write", &MODES).await;
    exclusion(fixture, &locks, peer, "read", &[Mode::Exclusive, Mode::Permits(2)]).await;
}

async fn curators_readers(fixture: Fixture) {
    readers(&fixture, Peer::Curator, "curator-rw").await;
}

async fn kazoos_readers(fixture: Fixture) {
    readers(&fixture, Peer::Kazoo, "kazoo").await;
}

async fn reader(locks: &Locks, key: &str) -> Guard {
    locks.lock(key).mode(Mode::Shared).wait(Duration::ZERO).acquire().await.unwrap()
}

/// Whichever comes first, and a writer of either side waits for both.
async fn readers(fixture: &Fixture, peer: Peer, layout: &str) {
    let locks = of_layout(fixture, layout);
    for ours_is_first in [true, false] {
        let key = fixture.key(if ours_is_first { "ours" } else { "theirs" });
        let first = if ours_is_first { Some(reader(&locks, &key).await) } else { None };
        let theirs = requested(fixture, peer, "read", &key);
        theirs.expect("holding");
        let ours = match first {
            Some(first) => first,
            None => reader(&locks, &key).await,
        };
        assert_eq!(locks.inspect(&key).await.unwrap().unwrap().holders.len(), 2);
        let writer = requested(fixture, peer, "write", &key);
        queued(&locks, &key, 1).await;
        // Of another process: in this one it would be behind our reader.
        let own_writer = tokio::spawn(of_layout(fixture, layout).lock(&key).acquire());
        queued(&locks, &key, 2).await;
        // Behind a writer that waits.
        let busy = locks.lock(&key).mode(Mode::Shared).wait(Duration::ZERO).acquire().await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Busy);
        released(&theirs);
        assert!(writer.is_silent_about("holding", Duration::from_millis(300)), "a writer beside our reader");
        ours.check().unwrap();
        ours.release().await.unwrap();
        writer.expect("holding");
        let late = requested(fixture, peer, "read", &key);
        queued(&locks, &key, 2).await;
        let own_late = tokio::spawn(locks.lock(&key).mode(Mode::Shared).acquire());
        assert!(!own_writer.is_finished(), "two writers hold `{key}`");
        released(&writer);
        let own_writer = granted(own_writer).await;
        assert!(late.is_silent_about("holding", Duration::from_millis(300)), "a reader beside our writer");
        own_writer.release().await.unwrap();
        late.expect("holding");
        granted(own_late).await.release().await.unwrap();
        released(&late);
    }
}

/// It has two nodes of one number then, of which the later one is before whoever waits.
async fn curators_downgrade(fixture: Fixture) {
    let locks = of_layout(&fixture, "curator-rw");
    let key = fixture.key("k");
    let theirs = requested(&fixture, Peer::Curator, "write", &key);
    theirs.expect("holding");
    let early = tokio::spawn(locks.lock(&key).mode(Mode::Shared).acquire());
    queued(&locks, &key, 1).await;
    let writer = tokio::spawn(of_layout(&fixture, "curator-rw").lock(&key).acquire());
    queued(&locks, &key, 2).await;
    theirs.say("downgrade");
    theirs.expect("downgraded");
    granted(early).await.release().await.unwrap();
    // Its reader alone is in the way now.
    let late = locks.lock(&key).wait(Duration::from_millis(500)).acquire().await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Timeout);
    assert!(!writer.is_finished(), "a writer beside a reader");
    released(&theirs);
    granted(writer).await.release().await.unwrap();
}

/// docs/stores.md says so: a mutex and a read-write lock do not see each other, nor ours of the other layout. This is no promise.
async fn kinds_do_not_mix(fixture: Fixture) {
    for (layout, kinds) in [("curator-rw", &["mutex"][..]), ("curator", &["read", "write"])] {
        for (number, mode) in MODES.into_iter().enumerate() {
            for kind in kinds {
                let key = fixture.key(&format!("{layout}/{kind}/{number}"));
                let ours = of_layout(&fixture, layout).lock(&key).mode(mode).acquire().await.unwrap();
                let theirs = requested(&fixture, Peer::Curator, kind, &key);
                theirs.expect("holding");
                // Ours know all names.
                for layout in ["curator", "curator-rw", "kazoo"] {
                    let tried = of_layout(&fixture, layout).lock(&key).wait(Duration::ZERO).acquire().await;
                    assert_eq!(tried.unwrap_err().kind(), ErrorKind::Busy);
                }
                released(&theirs);
                ours.release().await.unwrap();
            }
        }
    }
}

/// Kazoo's own readers are not seen by its plain `Lock` either; our permits are.
async fn kazoos_plain_lock(fixture: Fixture) {
    let (key, locks) = (fixture.key("k"), of_layout(&fixture, "kazoo"));
    exclusion(&fixture, &locks, Peer::Kazoo, "kazoo", &[Mode::Permits(2)]).await;
    let ours = reader(&locks, &key).await;
    let theirs = requested(&fixture, Peer::Kazoo, "kazoo", &key);
    theirs.expect("holding");
    released(&theirs);
    ours.release().await.unwrap();
    // The other way round it is kept out.
    let theirs = requested(&fixture, Peer::Kazoo, "kazoo", &key);
    theirs.expect("holding");
    assert!(locks.lock(&key).mode(Mode::Shared).try_acquire().await.unwrap().is_none());
    released(&theirs);
}
