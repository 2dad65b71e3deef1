//! The queue.

use super::fixture::{Fixture, acquire, refused, soon, wait};
use crate::api::guard::Guard;
use crate::values::error::{Error, ErrorKind};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use tokio::task::JoinHandle;

list! {
    waiting:
    |_| true => [
        a_waiter_gets_the_lock_when_it_is_released,
        a_waiter_that_is_dropped_is_skipped,
        waiters_of_one_client_are_served_as_they_came,
        many_waiters_of_one_client_have_one_entry,
        a_waiter_whose_client_closes_is_skipped,
        the_locks_of_a_client_that_closes_go_to_the_next,
    ]
    |can| can.queue_order => [
        waiters_of_all_clients_are_served_as_they_came,
    ]
}

/// Whose turn it was, in order.
type Served = Arc<Mutex<Vec<usize>>>;

/// Notes the number when the waiter holds, and releases the lock.
fn noting(served: &Served, number: usize, waiter: JoinHandle<Result<Guard, Error>>) -> JoinHandle<()> {
    let served = Arc::clone(served);
    tokio::spawn(async move {
        let guard = waiter.await.unwrap().unwrap();
        served.lock().unwrap().push(number);
        guard.release().await.unwrap();
    })
}

async fn a_waiter_gets_the_lock_when_it_is_released(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    for _ in 0..3 {
        let held = acquire(&ours, &key, "us").await;
        let waiter = wait(&theirs, &key, "them");
        fixture.until("k", &["us"], 1).await;
        assert!(!waiter.is_finished(), "two hold `{key}`");
        held.release().await.unwrap();
        let guard = soon("the hand-off", waiter).await.unwrap().unwrap();
        assert_eq!(fixture.line("k").await, (vec!["them".to_owned()], vec![]));
        guard.release().await.unwrap();
        fixture.is_free("k").await;
    }
}

async fn a_waiter_that_is_dropped_is_skipped(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let held = acquire(&ours, &key, "us").await;
    let quitter = wait(&theirs, &key, "quitter");
    fixture.until("k", &["us"], 1).await;
    // Behind the quitter in its own process, and behind it in the store.
    let inside = wait(&theirs, &key, "inside");
    let outside = wait(&fixture.client(), &key, "outside");
    fixture.until("k", &["us"], 2).await;
    quitter.abort();
    assert!(quitter.await.unwrap_err().is_cancelled());
    fixture.until("k", &["us"], 2).await;
    held.release().await.unwrap();
    let passed = async {
        let (inside, outside) = tokio::join!(async { inside.await.unwrap().unwrap().release().await }, async {
            outside.await.unwrap().unwrap().release().await
        },);
        inside.and(outside)
    };
    soon("the lock, for those behind the one that left", passed).await.unwrap();
    fixture.is_free("k").await;
}

async fn waiters_of_one_client_are_served_as_they_came(fixture: &Fixture) {
    let (locks, key) = (fixture.client(), fixture.key("k"));
    let held = acquire(&locks, &key, "holder").await;
    let (served, mut waiters) = (Served::default(), Vec::new());
    for number in 0..10 {
        let mut waiter = Box::pin(locks.lock(&key).acquire());
        // The first poll takes the position.
        assert!(waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "two hold `{key}`");
        waiters.push(noting(&served, number, tokio::spawn(waiter)));
    }
    held.release().await.unwrap();
    for waiter in waiters {
        soon("the turn of a waiter", waiter).await.unwrap();
    }
    assert_eq!(*served.lock().unwrap(), (0..10).collect::<Vec<_>>());
}

async fn waiters_of_all_clients_are_served_as_they_came(fixture: &Fixture) {
    let key = fixture.key("k");
    let held = acquire(&fixture.client(), &key, "holder").await;
    let (served, mut waiters) = (Served::default(), Vec::new());
    for number in 0..6 {
        waiters.push(wait(&fixture.client(), &key, "waiter"));
        fixture.until("k", &["holder"], number + 1).await;
    }
    // One in the middle leaves, and the order of the others stays.
    waiters[3].abort();
    fixture.until("k", &["holder"], 5).await;
    let waiters = waiters.into_iter().enumerate().filter(|(number, _)| *number != 3);
    let waiters: Vec<_> = waiters.map(|(number, waiter)| noting(&served, number, waiter)).collect();
    held.release().await.unwrap();
    for waiter in waiters {
        soon("the turn of a waiter", waiter).await.unwrap();
    }
    assert_eq!(*served.lock().unwrap(), [0, 1, 2, 4, 5]);
}

async fn many_waiters_of_one_client_have_one_entry(fixture: &Fixture) {
    const MANY: usize = 200;
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let held = acquire(&ours, &key, "us").await;
    let served = Served::default();
    let waiters = (0..MANY).map(|number| noting(&served, number, wait(&theirs, &key, "them")));
    let waiters: Vec<_> = waiters.collect();
    fixture.until("k", &["us"], 1).await;
    held.release().await.unwrap();
    let watched = async {
        for waiter in waiters {
            waiter.await.unwrap();
            let (holders, queue) = fixture.line("k").await;
            assert!(holders.len() + queue.len() <= 1, "{holders:?} hold and {queue:?} wait, all of one client");
        }
    };
    soon("the end of a long queue", watched).await;
    assert_eq!(served.lock().unwrap().len(), MANY);
    fixture.is_free("k").await;
}

async fn a_waiter_whose_client_closes_is_skipped(fixture: &Fixture) {
    let (ours, closing, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let held = acquire(&ours, &key, "us").await;
    let first = wait(&closing, &key, "closing");
    let behind = wait(&closing, &key, "closing too");
    fixture.until("k", &["us"], 1).await;
    let last = wait(&fixture.client(), &key, "last");
    fixture.until("k", &["us"], 2).await;
    closing.close().await;
    for waiter in [first, behind] {
        refused(soon("the end of a closed client's wait", waiter).await.unwrap(), ErrorKind::Closed);
    }
    fixture.until("k", &["us"], 1).await;
    held.release().await.unwrap();
    soon("the lock, behind a client that closed", last).await.unwrap().unwrap().release().await.unwrap();
}

async fn the_locks_of_a_client_that_closes_go_to_the_next(fixture: &Fixture) {
    let (closing, key) = (fixture.client(), fixture.key("k"));
    let held = acquire(&closing, &key, "closing").await;
    let waiter = wait(&fixture.client(), &key, "next");
    fixture.until("k", &["closing"], 1).await;
    closing.close().await;
    let guard = soon("the lock of a client that closed", waiter).await.unwrap().unwrap();
    refused(held.check(), ErrorKind::Closed);
    // The former holder's clean-up is not the next one's release.
    refused(held.release().await, ErrorKind::Closed);
    assert_eq!(fixture.line("k").await.0, ["next"]);
    guard.release().await.unwrap();
}
