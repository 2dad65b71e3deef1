//! Entries that should be gone and are not: each is taken out as soon as the store allows it.

use crate::users::looks_at_all_keys;
use distributed_locks::ErrorKind;
use std::time::{Duration, Instant};
use support::cases;
use support::cases::{Case, Fixture};
use support::etcd::{Setup, Users};
use support::proxy::{Mode, Proxy};
use support::scenarios::{acquire_and_release, behind_proxy, connect, granted, nothing_is_left, queued};
use support::{Server, eventually, in_time};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_key_that_is_deleted_while_its_entry_enters_loses_nothing_else,
        a_refused_release_is_tried_again,
        an_entry_that_came_back_is_withdrawn;
        slow:
        an_entry_whose_put_was_never_answered_leaves_the_lease_that_it_is_on,
    ]
}

/// Keys of nested locks fill the first page that it reads, so that it has to read on: then its key is gone.
async fn a_key_that_is_deleted_while_its_entry_enters_loses_nothing_else(fixture: Fixture) {
    const PAGE: usize = 64;
    let (etcd, key) = (fixture.server(), fixture.key("k"));
    let nested = connect(&etcd.url());
    let mut guards = Vec::new();
    for number in 0..=PAGE {
        guards.push(nested.lock(format!("{key}/{number}")).acquire().await.unwrap());
    }
    let proxy = Proxy::to(etcd.address());
    let locks = connect(&etcd.url_at(&proxy.addr().to_string()));
    let held = locks.lock(fixture.key("held")).acquire().await.unwrap();
    let is_own = |name: &String| name.strip_prefix(&key).is_some_and(|rest| rest.matches('/').count() == 1);
    for keys in [vec![key.clone()], vec![key.clone(), fixture.key("other")]] {
        // It asks whether the lock is free before it puts, and reads on after that: nothing here can hold an answer between
        // these but a delay of all of them. Each pace is the time to delete the key by a program that is started for it, which
        // takes a moment, or seconds where the machine is busy. Where the key is not deleted before the client reads on, that
        // holds the lock, which is no failure: then the next pace is slower.
        let mut is_shown = false;
        for pace in [200, 1000, 5000].map(Duration::from_millis) {
            proxy.set(Mode::Delay(pace));
            let acquiring = tokio::spawn(locks.lock_all(&keys).wait(Duration::ZERO).acquire());
            let name = eventually(async || etcd.left(&key).into_iter().find(is_own).ok_or("not put yet")).await;
            proxy.set(Mode::Unanswered);
            etcd.ctl(&["del", &name]);
            proxy.set(Mode::Pass);
            let acquired = in_time(acquiring).await.unwrap();
            held.check().unwrap();
            match acquired {
                Ok(guard) => drop(guard.release().await),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                    assert!(error.to_string().contains("deleted in etcd while"), "{error}");
                    is_shown = true;
                    break;
                }
            }
        }
        assert!(is_shown, "the machine is too busy");
        acquire_and_release(&locks, &key).await;
    }
    held.release().await.unwrap();
}

async fn a_refused_release_is_tried_again(fixture: Fixture) {
    let users = Users::default();
    let (role, etcd) = (users.name.clone(), fixture.start(&Setup { users: Some(users), ..Setup::default() }));
    let (grant, revoke) = (["role", "grant-permission", &role, "--prefix=true"], ["role", "revoke-permission", &role]);
    etcd.ctl(&[&grant[..], &["readwrite", "/app/taken/"]].concat());
    etcd.ctl(&[&grant[..], &["readwrite", "/app/kept/"]].concat());
    etcd.ctl(&[&revoke[..], &["--prefix=true", "/app/"]].concat());
    let locks = connect(&etcd.url_with("ttl=30s"));
    let (taken, kept) =
        (locks.lock("/app/taken/k").acquire().await.unwrap(), locks.lock("/app/kept/k").acquire().await.unwrap());
    etcd.ctl(&[&revoke[..], &["--prefix=true", "/app/taken/"]].concat());
    let _ = taken.release().await;
    assert!(!etcd.left("/app/taken").is_empty(), "the release was not refused");
    etcd.ctl(&[&grant[..], &["readwrite", "/app/taken/"]].concat());
    nothing_is_left(&etcd, "/app/taken").await;
    kept.check().unwrap();
    kept.release().await.unwrap();
}

/// As after a snapshot was restored: with the lease of a session that is still renewed, and unknown to it. Before the
/// session's first renewal, and after it.
async fn an_entry_that_came_back_is_withdrawn(fixture: Fixture) {
    let etcd = fixture.start(&Setup::default());
    let (proxy, locks) = behind_proxy(&etcd, "ttl=15s").await;
    let other = locks.lock("/other").acquire().await.unwrap();
    for round in 0..2 {
        let guard = locks.lock("/k").acquire().await.unwrap();
        let (name, lease) = (etcd.left("/k").remove(0), etcd.lease("/k"));
        guard.release().await.unwrap();
        let renewals = || etcd.metrics().messages("LeaseKeepAlive");
        eventually(async || if round == 0 || renewals() > 0 { Ok(()) } else { Err("not renewed") }).await;
        etcd.ctl(&["put", &name, "", &format!("--lease={lease}")]);
        let waiting = tokio::spawn(connect(&etcd.url()).lock("/k").acquire());
        queued(&connect(&etcd.url()), "/k", 1).await;
        proxy.set(Mode::Refuse);
        proxy.set(Mode::Pass);
        granted(waiting).await.release().await.unwrap();
        nothing_is_left(&etcd, "/k").await;
    }
    other.check().unwrap();
    other.release().await.unwrap();
    acquire_and_release(&locks, "/k").await;
}

/// The answer to its put was lost, its repetition refused, and the session has another lease by then.
async fn an_entry_whose_put_was_never_answered_leaves_the_lease_that_it_is_on(fixture: Fixture) {
    const TTL: u64 = 60;
    let users = Users::default();
    let (role, etcd) = (users.name.clone(), fixture.start(&Setup { users: Some(users), ..Setup::default() }));
    let grant = |prefix| {
        etcd.ctl(&["role", "grant-permission", &role, "--prefix=true", "readwrite", prefix]);
    };
    let revoke = |prefix| {
        etcd.ctl(&["role", "revoke-permission", &role, "--prefix=true", prefix]);
    };
    ["/warm", "/app/taken/", "/app/kept/"].into_iter().for_each(grant);
    revoke("/app/");
    let (proxy, locks) = behind_proxy(&etcd, &format!("ttl={TTL}s")).await;
    let kept = locks.lock("/app/kept/k").acquire().await.unwrap();
    proxy.set(Mode::Unanswered);
    let asking = tokio::spawn(locks.lock("/app/taken/k").acquire());
    eventually(async || if etcd.left("/app/taken").is_empty() { Err("the put") } else { Ok(()) }).await;
    let lease = etcd.lease("/app/taken");
    revoke("/app/taken/");
    proxy.set(Mode::Refuse);
    proxy.set(Mode::Pass);
    let refused = asking.await.unwrap().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unauthorized, "{refused}");
    if looks_at_all_keys(&fixture) {
        // The first renewal is refused because of that key.
        let moved = async || if etcd.lease("/app/kept") == lease { Err("on the old lease") } else { Ok(()) };
        eventually(moved).await;
    }
    grant("/app/taken/");
    let begun = Instant::now();
    while !etcd.left("/app/taken").is_empty() {
        let left: Duration = Duration::from_secs(TTL / 2);
        assert!(begun.elapsed() < left, "it stays until its lease expires: {:?}", etcd.left("/app/taken"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    kept.check().unwrap();
    kept.release().await.unwrap();
}
