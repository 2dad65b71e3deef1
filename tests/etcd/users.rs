//! Where etcd has users, the keys of one lease share a fate: it is renewed only for who may write all of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use distributed_locks::store::{Credentials, Secret};
use distributed_locks::{ErrorKind, Guard, Locks};
use locks_runtime::testing::conformance;
use support::cases;
use support::cases::{Case, Fixture, Program};
use support::etcd::{Etcd, Setup, Users};
use support::scenarios::rights::without_a_right_to_one_lock_the_other_is_free;
use support::scenarios::{acquire_and_release, chain, connect, held, lost, nothing_is_left};
use support::stores::etcd_as;
use support::{eventually, in_time};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_right_taken_away_for_one_key_of_three_loses_only_that_one,
        a_user_that_is_gone_is_the_reason_of_the_loss,
        a_lease_of_several_that_is_revoked_loses_only_its_own_keys,
        a_right_to_one_of_two_locks_that_is_missing_keeps_nobody_from_the_other,
        no_lease_of_a_user_has_more_than_64_keys,
        sessions_of_a_user_keep_their_contract,
    ]
}

/// In seconds. A renewal is due after three.
const TTL: u64 = 9;

fn with_users(fixture: &Fixture, prefix: &str) -> Etcd {
    let users = Users { prefix: prefix.to_owned(), ..Users::default() };
    fixture.start(&Setup { users: Some(users), ..Setup::default() })
}

/// Whether this version looks at every key of a lease that it is to renew.
pub(crate) fn looks_at_all_keys(fixture: &Fixture) -> bool {
    ["etcd-3.4", "etcd-3.5"].iter().all(|old| !fixture.program().label().starts_with(old))
}

async fn a_right_taken_away_for_one_key_of_three_loses_only_that_one(fixture: Fixture) {
    let etcd = with_users(&fixture, "/app/a/");
    let grant = |prefix: &str| {
        drop(etcd.ctl(&["role", "grant-permission", "app", "--prefix=true", "readwrite", prefix]));
    };
    ["/app/b/", "/app/c/", "/app/d/"].into_iter().for_each(grant);
    let locks = connect(&etcd.url());
    let ttl = Duration::from_secs(TTL);
    let [one, three] = [
        locks.lock("/app/a").ttl(ttl).acquire().await.unwrap(),
        locks.lock("/app/c").ttl(ttl).acquire().await.unwrap(),
    ];
    let two = held(&locks, "/app/b", TTL).await;
    etcd.ctl(&["role", "revoke-permission", "app", "--prefix=true", "/app/b/"]);
    // Other keys do not wait for the next renewal.
    let four = locks.lock("/app/d").ttl(ttl).acquire().await.unwrap();
    if looks_at_all_keys(&fixture) {
        let error = lost(two).await;
        assert!(chain(&error).contains("permission denied"), "{}", chain(&error));
    } else {
        two.abort();
    }
    // For longer than what the last renewal before gave.
    let begun = Instant::now();
    while begun.elapsed() < 2 * ttl {
        [&one, &three, &four].into_iter().for_each(|guard| guard.check().unwrap());
        tokio::time::sleep(ttl / 10).await;
    }
    for guard in [one, three, four] {
        guard.release().await.unwrap();
    }
    acquire_and_release(&locks, "/app/c").await;
}

/// Entering is the first to meet the lease that is gone: the next renewal is due much later.
async fn a_lease_of_several_that_is_revoked_loses_only_its_own_keys(fixture: Fixture) {
    let etcd = with_users(&fixture, "/app/");
    let locks = connect(&etcd.url_with("ttl=15s"));
    let mut guards = acquire(&locks, 65).await;
    let (last, first) = (guards.pop().unwrap(), guards.remove(0));
    assert_ne!(etcd.lease("/app/64"), etcd.lease("/app/0"));
    etcd.ctl(&["lease", "revoke", &etcd.lease("/app/64")]);
    let next = locks.lock("/app/next").wait(Duration::ZERO).acquire().await.unwrap();
    assert_eq!(in_time(last.lost()).await.kind(), ErrorKind::Lost);
    [&first, &next].into_iter().chain(&guards).for_each(|guard| guard.check().unwrap());
    drop(last);
    acquire_and_release(&locks, "/app/64").await;
}

async fn a_right_to_one_of_two_locks_that_is_missing_keeps_nobody_from_the_other(fixture: Fixture) {
    let etcd = with_users(&fixture, "/app/one/");
    let may_use = |is_allowed| match is_allowed {
        true => drop(etcd.ctl(&["role", "grant-permission", "app", "--prefix=true", "readwrite", "/app/two/"])),
        false => drop(etcd.ctl(&["role", "revoke-permission", "app", "--prefix=true", "/app/two/"])),
    };
    may_use(true);
    let clients = [(); 2].map(|()| connect(&etcd.url_with("ttl=600s")));
    without_a_right_to_one_lock_the_other_is_free((&clients[0], &clients[1]), ["/app/one", "/app/two"], may_use).await;
    nothing_is_left(&etcd, "/app").await;
}

async fn a_user_that_is_gone_is_the_reason_of_the_loss(fixture: Fixture) {
    let etcd = with_users(&fixture, "/app/");
    let body = held(&connect(&etcd.url()), "/app/k", TTL).await;
    etcd.ctl(&["user", "delete", "app"]);
    if !looks_at_all_keys(&fixture) {
        // These renew leases for anybody.
        tokio::time::sleep(Duration::from_secs(2 * TTL)).await;
        assert!(!body.is_finished());
        return;
    }
    let error = lost(body).await;
    let text = chain(&error);
    assert!(["refuse", "user", "password"].iter().all(|part| text.contains(part)), "{text}");
}

async fn no_lease_of_a_user_has_more_than_64_keys(fixture: Fixture) {
    const COUNT: usize = 300;
    let etcd = with_users(&fixture, "/app/");
    let locks = connect(&etcd.url_with("ttl=9s"));
    let begun = Instant::now();
    let guards = acquire(&locks, COUNT).await;
    println!("{COUNT} locks of a user in {:?}", begun.elapsed());
    let keys = |etcd: &Etcd| {
        let mut leases: BTreeMap<i64, usize> = BTreeMap::new();
        for kv in etcd.json(&["get", "--prefix", "/app/"])["kvs"].as_array().unwrap() {
            *leases.entry(kv["lease"].as_i64().unwrap()).or_default() += 1;
        }
        leases
    };
    let leases = keys(&etcd);
    assert!(leases.values().all(|count| *count <= 64) && leases.len() == COUNT.div_ceil(64), "{leases:?}");
    tokio::time::sleep(Duration::from_secs(2 * TTL)).await;
    assert!(guards.iter().all(Guard::is_held), "each lease is renewed");
    assert_eq!(keys(&etcd), leases);
    for guard in guards {
        guard.release().await.unwrap();
    }
    // What is not needed any more ends long before the process does.
    eventually(async || {
        let left = etcd.ctl(&["lease", "list"]);
        if left.lines().count() <= 2 { Ok(()) } else { Err(left) }
    })
    .await;
}

async fn acquire(locks: &Locks, count: usize) -> Vec<Guard> {
    let mut guards = Vec::new();
    for number in 0..count {
        guards.push(locks.lock(format!("/app/{number}")).acquire().await.unwrap());
    }
    guards
}

/// The conformance suite runs without users, whose sessions have several leases.
async fn sessions_of_a_user_keep_their_contract(fixture: Fixture) {
    let Users { name, password, .. } = Users::default();
    let user = Credentials { user: name, password: Secret::new(password) };
    let etcd = with_users(&fixture, "/app/");
    let endpoint = etcd.endpoint();
    let store = move || etcd_as(Some(user.clone()), &endpoint, "/app/".to_owned());
    let cases =
        conformance::cases(store().capabilities()).into_iter().filter(|case| case.name().starts_with("sessions::"));
    let cases: Vec<_> = cases.collect();
    assert!(cases.len() > 5, "{} cases", cases.len());
    for case in cases {
        case.run(store.clone()).await;
    }
}
