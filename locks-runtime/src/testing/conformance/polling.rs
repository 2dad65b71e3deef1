//! Futures that are dropped half way, wherever that is.

use super::fixture::{Fixture, acquire, wait};
use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;
use tokio::time::timeout;

list! {
    polling:
    |_| true => [
        a_run_dropped_at_any_poll_leaves_nothing,
        a_wait_dropped_at_any_poll_leaves_nothing,
        a_wait_dropped_as_the_lock_comes_leaves_nothing,
        a_place_in_the_own_line_dropped_at_any_poll_leaves_nothing,
        a_release_dropped_at_any_poll_gives_back,
    ]
}

/// More polls than any of this takes.
const MANY: usize = 200;

/// Nobody wakes a waiter for so long: it waits for the lock.
const STALLED: Duration = Duration::from_millis(80);

/// How far a future came before it was dropped.
#[derive(Debug, PartialEq, Eq)]
enum Came<T> {
    ToItsEnd(T),
    ToThisPoll,
    /// It would have needed a wake-up that did not come.
    NoFurther,
}

/// Polls `future` so many times, each when it is woken, and drops it.
async fn poll_times<F: Future>(polls: usize, future: F) -> Came<F::Output> {
    let mut future = Box::pin(future);
    let mut left = polls;
    let polled = poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(Came::ToThisPoll);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Came::ToItsEnd(value)),
            Poll::Pending if left == 0 => Poll::Ready(Came::ToThisPoll),
            Poll::Pending => Poll::Pending,
        }
    });
    timeout(STALLED, polled).await.unwrap_or(Came::NoFurther)
}

async fn a_run_dropped_at_any_poll_leaves_nothing(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    for polls in 0..MANY {
        let run = ours.lock(&key).name("dropped").run(|_| async {
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        });
        let came = poll_times(polls, run).await;
        acquire(&theirs, &key, "next").await.release().await.unwrap();
        fixture.until("k", &[], 0).await;
        if let Came::ToItsEnd(result) = came {
            result.unwrap();
            assert!(polls > 2, "the body alone takes three polls");
            return;
        }
    }
    panic!("a free lock and its body took more than {MANY} polls");
}

async fn a_wait_dropped_at_any_poll_leaves_nothing(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let held = acquire(&theirs, &key, "holder").await;
    for polls in 0..MANY {
        // Every second time with a session that is new too.
        let client = if polls % 2 == 0 { ours.clone() } else { fixture.client() };
        let came = poll_times(polls, client.lock(&key).name("dropped").acquire()).await;
        fixture.until("k", &["holder"], 0).await;
        match came {
            Came::ToThisPoll => {}
            Came::NoFurther => break,
            Came::ToItsEnd(result) => panic!("the lock was held by another, and acquiring it returned {result:?}"),
        }
    }
    held.check().unwrap();
    held.release().await.unwrap();
    fixture.until("k", &[], 0).await;
    acquire(&ours, &key, "next").await.release().await.unwrap();
}

/// The waiter is dropped about when the lock comes to it: a late grant becomes a withdrawal.
async fn a_wait_dropped_as_the_lock_comes_leaves_nothing(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    for _ in 0..25 {
        let held = acquire(&theirs, &key, "holder").await;
        let when_busy = fixture.world().between(Duration::ZERO, Duration::from_millis(8));
        let waiter = timeout(when_busy, ours.lock(&key).name("dropped").acquire());
        let (released, waited) = tokio::join!(held.release(), waiter);
        released.unwrap();
        if let Ok(guard) = waited {
            guard.unwrap().check().unwrap();
        }
        acquire(&theirs, &key, "next").await.release().await.unwrap();
        fixture.until("k", &[], 0).await;
    }
}

/// A hold of the same process is released meanwhile, and may be handed off to the one that is dropped.
async fn a_place_in_the_own_line_dropped_at_any_poll_leaves_nothing(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    for polls in 0..MANY {
        let held = acquire(&ours, &key, "job").await;
        let (came, released) = tokio::join!(poll_times(polls, acquire(&ours, &key, "job")), held.release());
        released.unwrap();
        let is_over = match came {
            Came::ToItsEnd(guard) => {
                guard.check().unwrap();
                true
            }
            _ => false,
        };
        acquire(&theirs, &key, "next").await.release().await.unwrap();
        fixture.until("k", &[], 0).await;
        if is_over {
            return;
        }
    }
    panic!("a position in the queue took more than {MANY} polls");
}

async fn a_release_dropped_at_any_poll_gives_back(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    for polls in 0..MANY {
        let held = acquire(&ours, &key, "job").await;
        let next = wait(&theirs, &key, "next");
        fixture.until("k", &["job"], 1).await;
        let came = poll_times(polls, held.release()).await;
        next.await.unwrap().unwrap().release().await.unwrap();
        fixture.until("k", &[], 0).await;
        if let Came::ToItsEnd(result) = came {
            return result.unwrap();
        }
    }
    panic!("a release took more than {MANY} polls");
}
