//! Redisson itself. Its locks are hashes, and ours a string: neither can take the other's, and it says so by an error.

use crate::{Case, Fixture};
use distributed_locks::ErrorKind;
use std::time::Duration;
use support::peers::{Driver, Peer, Slot};
use support::scenarios::{client, granted, held, lost, queued};

/// All of its locks that are under the name itself.
const KINDS: [&str; 6] = ["lock", "watched", "fair", "fenced", "read", "write"];

pub(crate) fn cases() -> Vec<Case> {
    let cases = vec![
        Case::new("redisson::each_of_its_locks_excludes_us", each_of_its_locks_excludes_us),
        Case::new("redisson::fails_where_ours_is_held", fails_where_ours_is_held),
        Case::new("redisson::a_forced_unlock_of_ours_stops_the_body", a_forced_unlock_of_ours_stops_the_body),
        Case::new("redisson::a_killed_one_is_free_after_its_lease", a_killed_one_is_free_after_its_lease),
    ];
    cases.into_iter().map(|case| case.with(Peer::Redisson)).collect()
}

fn say(fixture: &Fixture, slot: &Slot, command: &str, kind: &str, key: &str, millis: u32) {
    slot.say(&format!("{command} {kind} {} {key} {millis}", fixture.server().endpoint()));
}

async fn each_of_its_locks_excludes_us(fixture: Fixture) {
    let (locks, slot) = (client(&fixture), Driver::shared(Peer::Redisson).slot());
    for kind in KINDS {
        let key = fixture.key(kind);
        say(&fixture, &slot, "lock", kind, &key, 600_000);
        slot.expect("holding");
        let busy = locks.lock(&key).wait(Duration::ZERO).acquire().await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Busy, "{kind}");
        assert!(!busy.holder().unwrap().is_known(), "{kind}: {busy}");
        let waiting = tokio::spawn(locks.lock(&key).acquire());
        queued(&locks, &key, 1).await;
        assert!(!waiting.is_finished(), "two hold `{key}`");
        slot.say("unlock");
        slot.expect("released");
        granted(waiting).await.release().await.unwrap();
    }
}

async fn fails_where_ours_is_held(fixture: Fixture) {
    let (locks, slot) = (client(&fixture), Driver::shared(Peer::Redisson).slot());
    for kind in KINDS {
        let key = fixture.key(kind);
        let guard = locks.lock(&key).acquire().await.unwrap();
        say(&fixture, &slot, "lock", kind, &key, 600_000);
        slot.expect("waiting");
        let error = slot.expect("");
        assert!(error.starts_with("error") && error.contains("WRONGTYPE"), "{kind}: {error}");
        guard.check().unwrap();
        guard.release().await.unwrap();
        say(&fixture, &slot, "lock", kind, &key, 600_000);
        slot.expect("holding");
        slot.say("unlock");
        slot.expect("released");
    }
}

/// `forceUnlock()` deletes whatever is there.
async fn a_forced_unlock_of_ours_stops_the_body(fixture: Fixture) {
    let (key, other) = (fixture.key("k"), fixture.key("other"));
    let (locks, slot) = (client(&fixture), Driver::shared(Peer::Redisson).slot());
    let body = held(&locks, &key, 6).await;
    say(&fixture, &slot, "lock", "lock", &other, 600_000);
    slot.expect("holding");
    slot.say(&format!("force {key}"));
    slot.expect("forced true");
    lost(body).await;
    slot.say("unlock");
    slot.expect("released");
}

async fn a_killed_one_is_free_after_its_lease(fixture: Fixture) {
    const LEASE: u32 = 3_000;
    let (key, locks) = (fixture.key("k"), client(&fixture));
    let slot = Driver::start(Peer::Redisson).slot();
    say(&fixture, &slot, "lock", "lock", &key, LEASE);
    let lease = Duration::from_millis(LEASE.into());
    support::scenarios::peers::a_killed_one_is_free_after_its_ttl(&locks, &key, lease, &slot).await;
}
