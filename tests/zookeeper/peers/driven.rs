//! The newest Curator, and Kazoo: real clients, real losses.

use std::time::Duration;

use crate::{Case, Fixture};
use support::peers::{Driver, Peer, Slot};
use support::scenarios::peers::{Waits, each_excludes_the_other};
use support::scenarios::peers::{a_killed_one_is_free_after_its_ttl, it_has_the_lock_after_our_ttl};
use support::scenarios::{client, connect, held};

/// The shortest session that the servers grant.
const TTL: Duration = Duration::from_secs(4);

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("curator::a_mutex_and_we", a_mutex_and_we).with(Peer::Curator),
        Case::new("curator::a_selector_and_we", a_selector_and_we).with(Peer::Curator),
        Case::new("curator::either_is_killed", curator_or_we_are_killed).with(Peer::Curator),
        Case::new("curator::other_recipes_do_not_exclude_us_or_each_other", other_recipes).with(Peer::Curator),
        Case::new("kazoo::either_is_killed", kazoo_or_we_are_killed).with(Peer::Kazoo),
        Case::new("kazoo::excludes_us_but_not_curator", kazoo_excludes_us_but_not_curator).with(Peer::Curator),
    ]
}

fn requested(fixture: &Fixture, slot: Slot, kind: &str, key: &str) -> Slot {
    slot.say(&format!("lock {kind} {} {key} {}", fixture.server().endpoint(), TTL.as_millis()));
    slot
}

async fn a_mutex_and_we(fixture: Fixture) {
    exclusion(&fixture, "mutex").await;
}

async fn a_selector_and_we(fixture: Fixture) {
    exclusion(&fixture, "selector").await;
}

async fn exclusion(fixture: &Fixture, kind: &str) {
    let (key, locks) = (fixture.key("k"), client(fixture));
    let driver = Driver::shared(Peer::Curator);
    each_excludes_the_other(&locks, &key, Waits::InTheQueue, || requested(fixture, driver.slot(), kind, &key)).await;
}

async fn curator_or_we_are_killed(fixture: Fixture) {
    either_is_killed(&fixture, Peer::Curator, "mutex", &fixture.server().url()).await;
}

async fn kazoo_or_we_are_killed(fixture: Fixture) {
    either_is_killed(&fixture, Peer::Kazoo, "kazoo", &fixture.server().url_with("layout=kazoo")).await;
}

async fn either_is_killed(fixture: &Fixture, peer: Peer, kind: &str, url: &str) {
    let (key, locks) = (fixture.key("k"), connect(url));
    let driver = Driver::start(peer);
    it_has_the_lock_after_our_ttl(url, &key, || requested(fixture, driver.slot(), kind, &key)).await;
    a_killed_one_is_free_after_its_ttl(&locks, &key, TTL, &requested(fixture, driver.slot(), kind, &key)).await;
}

/// README says so: they take what we hold. This is no promise; if it changes, README has to.
async fn other_recipes(fixture: Fixture) {
    let (locks, driver) = (client(&fixture), Driver::shared(Peer::Curator));
    for kind in ["read", "write", "latch", "semaphore"] {
        let key = fixture.key(kind);
        let body = held(&locks, &key, 6).await;
        let slot = requested(&fixture, driver.slot(), kind, &key);
        slot.expect("holding");
        assert!(!body.is_finished(), "{kind} took it away");
        slot.say("unlock");
        slot.expect("released");
        body.abort();
    }
}

/// With `extra_lock_patterns`: it counts Curator's names and ours, and Curator counts ours, but not Kazoo's. README says so.
async fn kazoo_excludes_us_but_not_curator(fixture: Fixture) {
    let (key, locks) = (fixture.key("k"), client(&fixture));
    let kazoo = requested(&fixture, Driver::shared(Peer::Kazoo).slot(), "curator", &key);
    kazoo.expect("holding");
    assert!(locks.lock(&key).try_acquire().await.unwrap().is_none());
    let curator = requested(&fixture, Driver::shared(Peer::Curator).slot(), "mutex", &key);
    curator.expect("holding");
    for slot in [curator, kazoo] {
        slot.say("unlock");
        slot.expect("released");
    }
}
