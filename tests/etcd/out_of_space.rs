//! A server whose quota is used up answers and refuses whatever needs space, until somebody makes room.

use std::time::Duration;

use distributed_locks::{ErrorKind, Guard};
use support::cases;
use support::cases::{Case, Fixture};
use support::etcd::Setup;
use support::scenarios::{acquire_and_release, chain, connect, nothing_is_left};
use support::{Server, in_time};

pub(crate) fn cases() -> Vec<Case> {
    cases![a_full_server_is_named_and_holds_last]
}

const TTL: Duration = Duration::from_secs(6);

async fn a_full_server_is_named_and_holds_last(fixture: Fixture) {
    let etcd = fixture.start(&Setup { quota: Some(16 << 20), ..Setup::default() });
    let locks = connect(&etcd.url_with("ttl=6s&connect_timeout=3s"));
    let held = [
        locks.lock("/held/plain").acquire().await.unwrap(),
        locks.lock("/held/least").hold_at_least(Duration::from_secs(2)).acquire().await.unwrap(),
        locks.lock("/held/longer").hold_at_least(TTL + Duration::from_secs(2)).acquire().await.unwrap(),
    ];
    etcd.fill_up();
    for wait in [Some(Duration::ZERO), Some(Duration::from_secs(2)), None] {
        let lock = locks.lock("/more");
        let lock = wait.into_iter().fold(lock, |lock, wait| lock.wait(wait));
        // Also without a limit of its own, though renewals are answered all the while.
        let error = in_time(lock.acquire()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{wait:?}: {}", chain(&error));
        let named = [etcd.endpoint(), "etcdctl alarm disarm".to_owned(), "database space exceeded".to_owned()];
        assert!(named.iter().all(|part| chain(&error).contains(part)), "{wait:?}: {}", chain(&error));
    }
    // Renewals need no space, whatever lease a key is on.
    tokio::time::sleep(3 * TTL).await;
    assert!(held.iter().all(Guard::is_held));
    assert_eq!(etcd.left("/held/").len(), 3);
    for guard in held {
        guard.release().await.unwrap();
    }
    nothing_is_left(&etcd, "/held/").await;
    etcd.make_room();
    acquire_and_release(&locks, "/more").await;
}
