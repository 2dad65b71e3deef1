//! Many clients, many TTLs, many callers.

#![expect(missing_docs, reason = "the name of a scenario is what it shows")]

use std::time::{Duration, Instant};

use distributed_locks::{ErrorKind, Locks};
use tokio::task::JoinSet;

use super::{client, nothing_is_left, patient, worker};
use crate::cases::{Fixture, Program};
use crate::proxy::{Mode, Proxy};
use crate::with_parameters;

/// A session that is only idle is kept for a minute at the least.
const SOON: Duration = Duration::from_secs(25);

pub async fn dropped_clients_close_their_connections_soon<P: Program>(fixture: Fixture<P>) {
    let (server, key) = (fixture.server(), fixture.key("dropped"));
    let mut worker = worker(&["clients", "20", &patient(&server.url()), &key]);
    worker.next_line("dropped");
    worker.expect_line("closed", SOON);
    assert!(worker.wait().success());
    nothing_is_left(&*server, &key).await;
}

/// One session each would be more connections than a ZooKeeper has for one address.
pub async fn seventy_ttls_are_few_sessions<P: Program>(fixture: Fixture<P>) {
    let (key, locks) = (fixture.key("ttl"), client(&fixture));
    let mut guards = Vec::new();
    for number in 0..70 {
        let ttl = Duration::from_secs(8) + number * Duration::from_millis(400);
        guards.push(locks.lock(format!("{key}/{number}")).ttl(ttl).acquire().await.unwrap());
    }
    for guard in guards {
        guard.release().await.unwrap();
    }
    nothing_is_left(&*fixture.server(), &key).await;
}

pub async fn many_callers_of_a_dead_store_wait_as_long_as_one<P: Program>(fixture: Fixture<P>) {
    const CALLERS: u64 = 20;
    let server = fixture.server();
    for mode in [Mode::Silent, Mode::Refuse] {
        let proxy = Proxy::to(server.address());
        proxy.set(mode);
        let url = with_parameters(&server.url_at(&proxy.addr().to_string()), "connect_timeout=2s");
        let locks = Locks::connect(url).unwrap();
        let mut callers = JoinSet::new();
        let begun = Instant::now();
        for number in 0..CALLERS {
            let lock = locks.lock(fixture.key(&number.to_string()));
            // Half of them in one session, and the others each in its own.
            callers.spawn(lock.ttl(Duration::from_secs(10 + number.saturating_sub(CALLERS / 2))).acquire());
        }
        while let Some(refused) = callers.join_next().await {
            let error = refused.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        }
        let took = begun.elapsed();
        // One after another they would take 2 s each.
        assert!(took < Duration::from_secs(15), "{mode:?}: {took:?}");
        let begun = Instant::now();
        locks.close().await;
        assert!(begun.elapsed() < Duration::from_secs(10), "{mode:?}: closed after {:?}", begun.elapsed());
    }
}
