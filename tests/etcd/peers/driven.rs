//! Go's client and jetcd: real clients, real losses.

use std::time::Duration;

use support::cases::{Case, Fixture};
use support::peers::{Driver, Peer, Slot};
use support::scenarios::peers::it_has_the_lock_after_our_ttl;
use support::scenarios::peers::{Waits, a_killed_one_is_free_after_its_ttl, each_excludes_the_other};
use support::scenarios::{client, granted, queued};
use support::{Server, eventually};

const TTL: Duration = Duration::from_secs(3);

/// Each client, with the kinds of its locks that stand in one queue with ours.
const KINDS: [(Peer, &str); 3] = [(Peer::Go, "mutex"), (Peer::Go, "election"), (Peer::Jetcd, "lock")];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("go::fences_are_in_order", fences_are_in_order).with(Peer::Go),
        Case::new("go::one_that_lost_its_session_leaves_ours_alone", one_that_lost_its_session_leaves_ours_alone)
            .with(Peer::Go),
        Case::new("go::a_try_finds_ours", a_try_finds_ours).with(Peer::Go),
    ];
    for (peer, kind) in KINDS {
        let name = |what: &str| format!("{}_{kind}::{what}", peer.name());
        let case = Case::new(name("excludes_us_and_we_it"), move |fixture| exclusion(fixture, peer, kind));
        cases.push(case.with(peer));
        let case = Case::new(name("either_is_killed"), move |fixture| either_is_killed(fixture, peer, kind));
        cases.push(case.with(peer));
    }
    cases
}

async fn exclusion(fixture: Fixture, peer: Peer, kind: &'static str) {
    let (key, locks) = (fixture.key("k"), client(&fixture));
    let driver = Driver::shared(peer);
    each_excludes_the_other(&locks, &key, Waits::InTheQueue, || requested(&fixture, driver.slot(), kind, &key)).await;
}

async fn either_is_killed(fixture: Fixture, peer: Peer, kind: &'static str) {
    let (key, locks) = (fixture.key("k"), client(&fixture));
    let driver = Driver::start(peer);
    let url = fixture.server().url();
    it_has_the_lock_after_our_ttl(&url, &key, || requested(&fixture, driver.slot(), kind, &key)).await;
    a_killed_one_is_free_after_its_ttl(&locks, &key, TTL, &requested(&fixture, driver.slot(), kind, &key)).await;
}

/// A slot that requests the lock, and waits for it.
fn requested(fixture: &Fixture, slot: Slot, kind: &str, key: &str) -> Slot {
    slot.say(&request(fixture, "lock", kind, key));
    slot
}

fn request(fixture: &Fixture, command: &str, kind: &str, key: &str) -> String {
    let endpoint = fixture.server().endpoint();
    format!("{command} {kind} http://{endpoint} {key} {}", TTL.as_millis())
}

/// A resource that both write to can compare our fence's number with the revision of Go's `Header()`.
async fn fences_are_in_order(fixture: Fixture) {
    let (key, locks) = (fixture.key("k"), client(&fixture));
    let slot = Driver::shared(Peer::Go).slot();
    let mut last = 0;
    for _ in 0..5 {
        let guard = locks.lock(&key).acquire().await.unwrap();
        let ours = guard.fence().number();
        assert!(ours > last, "{ours} after {last}");
        slot.say(&request(&fixture, "lock", "mutex", &key));
        queued(&locks, &key, 1).await;
        guard.release().await.unwrap();
        last = slot.expect("holding").parse().unwrap();
        assert!(last > ours, "{last} after {ours}");
        slot.say("unlock");
        slot.expect("released");
    }
}

/// Its lease is revoked while it holds the lock. Its own condition fails while we hold it, and its `Unlock` removes nothing.
async fn one_that_lost_its_session_leaves_ours_alone(fixture: Fixture) {
    let (etcd, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    let slot = requested(&fixture, Driver::shared(Peer::Go).slot(), "mutex", &key);
    slot.expect("holding");
    slot.say("owns");
    slot.expect("true");
    let lease = etcd.lease(&key);
    let waiting = tokio::spawn(locks.lock(&key).acquire());
    queued(&locks, &key, 1).await;
    etcd.ctl(&["lease", "revoke", &lease]);
    let guard = granted(waiting).await;
    slot.expect("lost");
    slot.say("owns");
    slot.expect("false");
    slot.say("unlock");
    slot.expect("released");
    guard.check().unwrap();
    assert_eq!(etcd.left(&key).len(), 1);
    guard.release().await.unwrap();
}

async fn a_try_finds_ours(fixture: Fixture) {
    let (key, locks) = (fixture.key("k"), client(&fixture));
    let slot = Driver::shared(Peer::Go).slot();
    let guard = locks.lock(&key).acquire().await.unwrap();
    slot.say(&request(&fixture, "try", "mutex", &key));
    slot.expect("busy");
    guard.check().unwrap();
    guard.release().await.unwrap();
    slot.say(&request(&fixture, "try", "mutex", &key));
    slot.expect("holding");
    slot.say("unlock");
    slot.expect("released");
    eventually(async || if fixture.server().left(&key).is_empty() { Ok(()) } else { Err("left") }).await;
}
