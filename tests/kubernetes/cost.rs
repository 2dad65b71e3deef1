//! What a lock costs, by the server's own record of requests.

use crate::{Case, Fixture};
use distributed_locks::Guard;
use std::time::Instant;
use support::kubernetes::Setup;
use support::scenarios::cost::{self, RENEWED, RENEWED_URL, acquire_many, at_most, cost, quiet, quiet_client};
use support::scenarios::{connect, granted, nothing_is_left};
use support::{Server, cases, eventually};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        an_uncontended_pair_is_two_requests,
        a_lease_that_stays_is_two_requests_too,
        a_busy_try_is_two_requests_and_leaves_nothing,
        a_last_look_is_one_request,
        a_hand_over_is_three_requests,
        work_that_is_done_once_is_five_requests_and_then_one,
        a_waiter_is_a_place_in_the_line_and_a_watch;
        slow:
        a_hundred_locks_are_a_hundred_renewals_each_third,
        a_hundred_waiters_of_one_process_are_one_place_in_the_line,
    ]
}

async fn an_uncontended_pair_is_two_requests(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    cost::an_uncontended_pair_costs(&server, &locks, &cost([("create", 1)]), &cost([("delete", 1)])).await;
    cost::an_uncontended_pair_is_two_round_trips(&server).await;
    assert!(server.leases().is_empty(), "{:?}", server.leases());
}

/// Of a leader, as client-go's does, or one that an operator has made.
async fn a_lease_that_stays_is_two_requests_too(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    server.make_lease("pair");
    locks.lock("pair").acquire().await.unwrap().release().await.unwrap();
    for round in 0..10 {
        let before = server.cost();
        locks.lock("pair").acquire().await.unwrap().release().await.unwrap();
        assert_eq!(server.cost_since(&before), cost([("patch", 2)]), "round {round}");
    }
    assert_eq!(server.leases().len(), 1, "it is the operator's");
}

async fn a_busy_try_is_two_requests_and_leaves_nothing(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let other = quiet_client(&server).await;
    cost::a_busy_try_costs(&server, &locks, &other, &cost([("create", 1), ("get", 1)])).await;
}

async fn a_last_look_is_one_request(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    cost::a_last_look_costs(&server, &locks, &cost([("get", 1)]), &cost([("patch", 1)])).await;
}

async fn a_hand_over_is_three_requests(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let (taker, adopt) = (quiet_client(&server).await, cost([("get", 1), ("patch", 1)]));
    cost::a_hand_over_costs(&server, &locks, &taker, &cost([("patch", 1)]), &adopt).await;
}

/// The Lease stays while it has the record: a look, a try to make it that is refused, and looks again.
async fn work_that_is_done_once_is_five_requests_and_then_one(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let work = cost([("get", 2), ("create", 1), ("patch", 2)]);
    let forget = cost([("get", 1), ("delete", 1)]);
    cost::work_that_is_done_once_costs(&server, &locks, &work, &cost([("get", 1)]), &forget).await;
}

/// Joining the line: a try that is refused, a look, a place. Each turn is a hand-over by who had the lock, and a confirmation.
async fn a_waiter_is_a_place_in_the_line_and_a_watch(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let other = quiet_client(&server).await;
    let guard = other.lock("/turn").acquire().await.unwrap();
    let before = server.cost();
    let waiting = tokio::spawn(locks.lock("/turn").acquire());
    let joined = cost([("create", 1), ("get", 1), ("patch", 1), ("watch", 1)]);
    eventually(async || match server.cost_since(&before) {
        cost if cost == joined => Ok(()),
        cost => Err(cost),
    })
    .await;
    let before = server.cost();
    guard.release().await.unwrap();
    let next = granted(waiting).await;
    // Who has the lock does not know of the line before it wants to delete the Lease.
    assert_eq!(server.cost_since(&before), cost([("delete", 1), ("get", 1), ("patch", 2)]));
    next.release().await.unwrap();
    nothing_is_left(&server, "/turn").await;
}

async fn a_hundred_locks_are_a_hundred_renewals_each_third(fixture: Fixture) {
    const HELD: usize = 100;
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url_with(RENEWED_URL));
    let guards = acquire_many(&locks, HELD).await;
    let patches = || server.cost().get("patch").copied().unwrap_or(0);
    // With the first renewal each begins to be watched.
    eventually(async || match server.cost().get("watch").copied().unwrap_or(0) {
        100.. => Ok(()),
        watches => Err(watches),
    })
    .await;
    let (begun, before) = (Instant::now(), patches());
    let renewed = eventually(async || {
        tokio::time::sleep(RENEWED / 12).await;
        match patches() - before {
            renewed @ 300.. => Ok((renewed, begun.elapsed())),
            renewed => Err(renewed),
        }
    });
    let (renewed, during) = renewed.await;
    let most = (at_most(during, RENEWED * 3 / 10) + 1) * 100;
    assert!(renewed <= most, "{renewed} renewals of {HELD} locks in {during:?}");
    assert!(guards.iter().all(Guard::is_held));
    let before = server.cost();
    locks.close().await;
    let deleted = server.cost_since(&before)["delete"];
    assert_eq!((deleted, server.left("/many/")), (100, vec![]));
}

async fn a_hundred_waiters_of_one_process_are_one_place_in_the_line(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let other = quiet_client(&server).await;
    let guard = other.lock("/one").acquire().await.unwrap();
    let before = server.cost();
    let waiters: Vec<_> = (0..100).map(|_| tokio::spawn(locks.lock("/one").run(|_| async {}))).collect();
    eventually(async || match server.left("/one").len() {
        2 => Ok(()),
        others => Err(others),
    })
    .await;
    let joined = server.cost_since(&before);
    assert!(joined["create"] == 1 && joined["patch"] == 1, "{joined:?}");
    guard.release().await.unwrap();
    for waiter in waiters {
        support::in_time(waiter).await.unwrap().unwrap();
    }
    nothing_is_left(&server, "/one").await;
}
