//! ShedLock's Redis provider itself. It excludes us and we exclude it; what it does after its own `lockAtMostFor` hits
//! whoever holds the lock by then, which we notice.

use crate::{Case, Fixture};
use std::time::Duration;
use support::peers::{Driver, Peer, Slot};
use support::scenarios::peers::{Waits, each_excludes_the_other};
use support::scenarios::peers::{a_killed_one_is_free_after_its_ttl, it_has_the_lock_after_our_ttl};
use support::scenarios::{client, held, lost};

pub(crate) fn cases() -> Vec<Case> {
    let cases = vec![
        Case::new("shedlock::excludes_us_and_we_it", excludes_us_and_we_it),
        Case::new("shedlock::either_is_killed", either_is_killed),
        Case::new("shedlock::what_it_does_too_late_stops_our_body", what_it_does_too_late_stops_our_body),
    ];
    cases.into_iter().map(|case| case.with(Peer::ShedLockRedis)).collect()
}

/// Its name for a job, and the key that this is.
fn names(fixture: &Fixture) -> (String, String) {
    let name = fixture.key("job");
    let key = format!("job-lock:default:{name}");
    (name, key)
}

fn requested(fixture: &Fixture, slot: Slot, name: &str, most: Duration) -> Slot {
    slot.say(&format!("lock default {} {name} {}", fixture.server().endpoint(), most.as_millis()));
    slot
}

async fn excludes_us_and_we_it(fixture: Fixture) {
    const LONG: Duration = Duration::from_secs(600);
    let ((name, key), locks) = (names(&fixture), client(&fixture));
    let driver = Driver::shared(Peer::ShedLockRedis);
    let begin = || requested(&fixture, driver.slot(), &name, LONG);
    each_excludes_the_other(&locks, &key, Waits::ByPolling, begin).await;
}

async fn either_is_killed(fixture: Fixture) {
    const MOST: Duration = Duration::from_secs(3);
    let ((name, key), locks) = (names(&fixture), client(&fixture));
    let driver = Driver::start(Peer::ShedLockRedis);
    let begin = || requested(&fixture, driver.slot(), &name, MOST);
    it_has_the_lock_after_our_ttl(&fixture.server().url(), &key, begin).await;
    a_killed_one_is_free_after_its_ttl(&locks, &key, MOST, &begin()).await;
}

/// Its `unlock` is a bare `DEL`, and its `extend` a bare `SET`: README says so.
async fn what_it_does_too_late_stops_our_body(fixture: Fixture) {
    let driver = Driver::shared(Peer::ShedLockRedis);
    for late in ["unlock", "extend 1000"] {
        let ((name, key), locks) = (names(&fixture), client(&fixture));
        let slot = requested(&fixture, driver.slot(), &name, Duration::from_millis(500));
        slot.expect("holding");
        // It expires.
        let body = held(&locks, &key, 6).await;
        slot.say(late);
        lost(body).await;
        // Whatever it has set there is over soon.
        locks.lock(&key).acquire().await.unwrap().release().await.unwrap();
    }
}
