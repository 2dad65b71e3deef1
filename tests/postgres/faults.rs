//! What goes wrong while a lock is wanted, held or released.

use crate::{Case, Fixture};
use distributed_locks::{Error, ErrorKind};
use std::time::{Duration, Instant};
use support::postgres::{Pool, Setup};
use support::proxy::{Mode, Proxy};
use support::scenarios::sql::faults;
use support::scenarios::{acquire_and_release, connect, granted, held, nothing_is_left, queued};
use support::{cases, in_time, once_within};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_late_request_is_withdrawn,
        faults::a_lost_table_stops_the_body_and_fences_go_on,
        ended_backends_lose_nothing,
        behind_a_pool_nobody_gets_the_answers_of_a_connection_that_broke,
        behind_a_pool_waiters_look,
    ]
}

/// A waiter that is not notified of its turn looks at the earliest after half its TTL, which is a minute.
const WITHOUT_A_NOTIFICATION: Duration = Duration::from_secs(30);

async fn a_late_request_is_withdrawn(fixture: Fixture) {
    let (server, key) = (fixture.server(), fixture.key("k"));
    faults::late_requests_are_withdrawn(&*server, &key, &["/warm".to_owned()]).await;
}

async fn ended_backends_lose_nothing(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    faults::ended_connections_lose_nothing(&server, WITHOUT_A_NOTIFICATION / 2).await;
}

/// PgBouncer lends its connection on after an answer. What a client that is gone had sent besides, or what was still to be
/// answered, it may leave there for the next one, so that nothing may be sent before the answer.
async fn behind_a_pool_nobody_gets_the_answers_of_a_connection_that_broke(fixture: Fixture) {
    const ROUNDS: usize = 100;
    const CLIENTS: usize = 8;
    let server = fixture.start(&Setup::default());
    let pool = Pool::before(&server);
    let proxy = Proxy::to(pool.address());
    let clients = |count, endpoint: &str| (0..count).map(|_| connect(&server.url_at(endpoint))).collect::<Vec<_>>();
    let (ours, theirs) = (clients(CLIENTS, &pool.endpoint()), clients(3, &proxy.addr().to_string()));
    acquire_and_release(&ours[0], "ours").await;
    let breaking = tokio::spawn(async move {
        for round in 0.. {
            proxy.set(Mode::CutAnswers(300 + 97 * (round % 40)));
            let acquiring = (0..18).map(|number| {
                let acquiring = theirs[number % theirs.len()].lock(format!("theirs/{number}")).acquire();
                tokio::spawn(tokio::time::timeout(Duration::from_millis(30), acquiring))
            });
            for acquired in acquiring.collect::<Vec<_>>() {
                drop(acquired.await);
            }
        }
    });
    let tasks = (0..4 * CLIENTS).map(|task| {
        let locks = ours[task % CLIENTS].clone();
        tokio::spawn(async move {
            // A busy machine may not answer in time; what must not be is the answer to something else.
            let is_late = |error: &Error| error.kind() == ErrorKind::Unavailable;
            for _ in 0..ROUNDS {
                let guard = match locks.lock(format!("ours/{task}")).acquire().await {
                    Err(error) if is_late(&error) => continue,
                    acquired => acquired.unwrap(),
                };
                guard.release().await.or_else(|error| if is_late(&error) { Ok(()) } else { Err(error) }).unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    breaking.abort();
    nothing_is_left(&server, "ours").await;
}

/// A pool in transaction mode lets no notification through: waiters look again and again.
async fn behind_a_pool_waiters_look(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let pool = Pool::before(&server);
    let url = server.url_at(&pool.endpoint());
    let (ours, theirs) = (connect(&url), connect(&url));
    // The first in the queue looks eight times a second.
    once_within(Duration::from_secs(1), async || {
        let guard = ours.lock("k").acquire().await.unwrap();
        let waiting = tokio::spawn(theirs.lock("k").acquire());
        queued(&ours, "k", 1).await;
        assert!(theirs.lock("k2").try_acquire().await.unwrap().is_some());
        let released = Instant::now();
        guard.release().await.unwrap();
        granted(waiting).await.release().await.unwrap();
        released.elapsed()
    })
    .await;
    // For longer than its TTL.
    let body = held(&ours, "k", 6).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert!(!body.is_finished(), "not renewed: {:?}", in_time(body).await);
    body.abort();
    nothing_is_left(&server, "k").await;
}
