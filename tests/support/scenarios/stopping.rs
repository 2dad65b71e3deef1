//! Services that are stopped by a signal.

use std::collections::BTreeSet;

use distributed_locks::Locks;

use super::{connect, nothing_is_left, patient, queued, with_parameters, worker};
use crate::cases::{Fixture, Program};
use crate::child::Child;
use crate::{Server, eventually};

/// A service that holds `key/polite` and `key/stubborn`, leads `key/led`, and waits for `key/waited` and `key/campaign`, which
/// `locks` has; with so many seconds of grace.
async fn service(url: &str, locks: &Locks, key: &str, grace: &str) -> Child {
    let mut service = worker(&["serves", grace, url, key]);
    tokio::task::block_in_place(|| {
        let mut begun: BTreeSet<_> = (0..3).map(|_| service.next_line("begins")).collect();
        for name in ["polite", "stubborn", "led"] {
            assert!(begun.remove(name), "{begun:?} and not {name}");
        }
    });
    queued(locks, &format!("{key}/waited"), 1).await;
    queued(locks, &format!("{key}/campaign"), 1).await;
    service
}

/// What becomes of what a service holds and waits for, in the order of their names.
fn ended(service: &mut Child) -> Vec<String> {
    let mut ended: Vec<_> = (0..5).map(|_| service.next_line("ended")).collect();
    ended.sort();
    ended
}

/// It gets SIGTERM while it holds, waits and leads. When it has ended, by itself, `left` is asked what is left of each key.
async fn stop_by_sigterm(url: &str, locks: &Locks, key: &str, left: impl Fn(&str) -> Vec<String>) {
    let waited = locks.lock(format!("{key}/waited")).acquire().await.unwrap();
    let campaign = locks.lock(format!("{key}/campaign")).acquire().await.unwrap();
    let mut service = service(url, locks, key, "1").await;
    service.terminate();
    tokio::task::block_in_place(|| {
        let ended = ended(&mut service);
        assert_eq!(ended, ["campaign Closed", "led Closed", "polite returned", "stubborn Closed", "waited Closed"]);
        assert_eq!(service.next_line("drained"), "all locks are released");
        assert!(service.wait().success());
    });
    for own in ["polite", "stubborn", "led"] {
        assert_eq!(left(&format!("{key}/{own}")), [""; 0], "{own}");
    }
    for theirs in ["waited", "campaign"] {
        let line = locks.inspect(format!("{key}/{theirs}")).await.unwrap().unwrap();
        assert!(line.holders.len() == 1 && line.waiters.is_empty(), "{line:?}");
    }
    waited.release().await.unwrap();
    campaign.release().await.unwrap();
}

/// Every TTL is ten minutes: nothing has lapsed.
pub async fn a_service_that_gets_sigterm_leaves_nothing<P: Program>(fixture: Fixture<P>) {
    let (server, key) = (fixture.server(), fixture.key("stopped"));
    let url = patient(&server.url_with("ttl=600s"));
    stop_by_sigterm(&url, &connect(&url), &key, |key| server.left(key)).await;
    nothing_is_left(&*server, &key).await;
}

/// The same on files.
pub async fn a_service_on_files_leaves_nothing(url: &str) {
    let locks = connect(url);
    let list = |key: &str| {
        let found = distributed_locks::blocking(locks.list(key)).unwrap();
        found.iter().map(|line| format!("{line:?}")).collect()
    };
    stop_by_sigterm(url, &locks, "/stopped", list).await;
    assert!(locks.list("").await.unwrap().is_empty());
}

/// Its grace is ten minutes, which nobody has to wait for who sends the signal again.
pub async fn a_second_signal_ends_the_grace(url: &str) {
    let locks = connect(url);
    let waited = locks.lock("/again/waited").acquire().await.unwrap();
    let campaign = locks.lock("/again/campaign").acquire().await.unwrap();
    let mut service = service(url, &locks, "/again", "600").await;
    service.terminate();
    tokio::task::block_in_place(|| service.next_line("stopping"));
    eventually(async || match locks.inspect("/again/polite").await {
        Ok(None) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert!(!service.has_ended() && locks.inspect("/again/stubborn").await.unwrap().is_some(), "it has a grace");
    service.terminate();
    tokio::task::block_in_place(|| {
        assert_eq!(service.next_line("drained"), "all locks are released");
        assert!(service.wait().success());
    });
    waited.release().await.unwrap();
    campaign.release().await.unwrap();
    assert!(locks.list("").await.unwrap().is_empty());
}

/// The store is away, and `connect_timeout` is ten minutes, which nobody has to wait for who sends the signal a third time.
pub async fn a_third_signal_ends_the_waiting(url: &str, pause: impl FnOnce()) {
    let url = with_parameters(url, "ttl=600s&connect_timeout=600s");
    let locks = connect(&url);
    let waited = locks.lock("/third/waited").acquire().await.unwrap();
    let campaign = locks.lock("/third/campaign").acquire().await.unwrap();
    let mut service = service(&url, &locks, "/third", "600").await;
    pause();
    tokio::task::block_in_place(|| {
        service.terminate();
        service.next_line("body of polite is over");
        service.terminate();
        service.next_line("body of stubborn is over");
        assert!(!service.has_ended(), "it waits for the store");
        service.terminate();
        let left = service.next_line("drained");
        assert!(left.starts_with("not released: ") && left.contains("/third/stubborn"), "{left}");
        assert!(service.wait().success());
    });
    drop((waited, campaign));
}

/// The output of the example `shutdown`.
pub fn assert_all_is_released(printed: &str) {
    assert!(printed.contains("polite: ended after"), "{printed}");
    assert!(
        printed.contains("stubborn: lock `/jobs/stubborn`: ") && printed.contains("service is stopping"),
        "{printed}"
    );
    assert!(printed.contains("service: all locks are released"), "{printed}");
    assert!(printed.contains("next: has had all locks"), "{printed}");
}
