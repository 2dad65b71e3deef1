//! Requests that share a transaction, of which one cannot be carried out: etcd refuses all of them then.

use std::time::Duration;

use distributed_locks::{ErrorKind, Guard};
use support::cases;
use support::cases::{Case, Fixture};
use support::etcd::{Setup, Users};
use support::scenarios::{connect, many, nothing_is_left};

pub(crate) fn cases() -> Vec<Case> {
    cases![a_forbidden_key_among_good_ones_is_refused_alone, a_lease_that_is_gone_among_good_ones_costs_only_its_own]
}

const COUNT: usize = 20;

async fn a_forbidden_key_among_good_ones_is_refused_alone(fixture: Fixture) {
    let users = Users { prefix: "/app/".to_owned(), ..Users::default() };
    let etcd = fixture.start(&Setup { users: Some(users), ..Setup::default() });
    let locks = connect(&etcd.url());
    for forbidden in [0, COUNT / 2, COUNT - 1] {
        let mut acquiring = many::acquiring(&locks, "/app/good", COUNT);
        let secret = locks.lock("/secret/k").acquire();
        acquiring.insert(forbidden, Box::pin(secret));
        let mut acquired = many::together(acquiring, u32::MAX).await;
        let error = acquired.remove(forbidden).unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
        assert!(error.to_string().contains("/secret/k"), "{error}");
        let guards: Vec<Guard> = acquired.into_iter().map(|acquired| acquired.unwrap().unwrap()).collect();
        guards.iter().for_each(|guard| guard.check().unwrap());
        many::release(guards).await;
    }
    nothing_is_left(&etcd, "/app").await;
}

/// Two sessions of one client, of which one has lost its lease and does not know it.
async fn a_lease_that_is_gone_among_good_ones_costs_only_its_own(fixture: Fixture) {
    let etcd = fixture.start(&Setup::default());
    let locks = connect(&etcd.url());
    let [good, gone] = [Duration::from_secs(60), Duration::from_secs(90)];
    let held = locks.lock("/held").ttl(good).acquire().await.unwrap();
    let lost = locks.lock("/lost").ttl(gone).acquire().await.unwrap();
    etcd.ctl(&["lease", "revoke", &etcd.lease("/lost")]);
    let acquiring = (0..COUNT).map(|number| {
        let ttl = if number % 5 == 2 { gone } else { good };
        Box::pin(locks.lock(format!("/k/{number}")).ttl(ttl).acquire())
    });
    // Those of the lost session get another one.
    let acquired = many::together(acquiring.collect(), u32::MAX).await;
    let guards: Vec<Guard> = acquired.into_iter().map(|acquired| acquired.unwrap().unwrap()).collect();
    guards.iter().for_each(|guard| guard.check().unwrap());
    held.check().unwrap();
    assert!(lost.check().is_err());
    many::release(guards).await;
    held.release().await.unwrap();
    nothing_is_left(&etcd, "/k").await;
}
