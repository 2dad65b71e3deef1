//! Several locks by the client: acquired together, held together, released together.

use super::fixture::{Fixture, acquire, refused, soon};
use super::modes::READER;
use crate::api::locks::Locks;
use crate::values::error::ErrorKind;
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

list! {
    together:
    |can| !can.multi_key => [
        several_locks_at_one_moment_are_refused,
    ]
    |can| can.multi_key => [
        whoever_holds_several_holds_each,
        a_request_for_several_that_is_dropped_leaves_nothing,
        a_body_that_holds_several_joins_itself_for_each_of_them,
        who_holds_one_of_several_is_refused_as_a_deadlock,
        transfers_in_both_directions_lose_nothing_and_never_wait_for_each_other,
        several_that_are_held_at_least_stay_together,
        a_process_that_is_behind_itself_gets_several_in_order,
    ]
    |can| can.multi_key && can.force_release => [
        several_are_lost_when_one_of_them_is,
    ]
}

async fn several_locks_at_one_moment_are_refused(fixture: &Fixture) {
    let (locks, keys) = (fixture.client(), [fixture.key("a"), fixture.key("b")]);
    let error = refused(locks.lock_all(&keys).acquire().await, ErrorKind::Unsupported);
    assert!(error.to_string().contains("one after the other"), "what to do: {error}");
    // One is one, however often it is named.
    let one = soon("one lock", locks.lock_all([&keys[0], &keys[0]]).acquire()).await.unwrap();
    one.release().await.unwrap();
    fixture.is_free("a").await;
}

async fn is_held(locks: &Locks, key: &str) {
    let tried = soon("a try", locks.lock(key).try_acquire()).await.unwrap();
    assert!(tried.is_none(), "{key} is free");
}

async fn whoever_holds_several_holds_each(fixture: &Fixture) {
    let (ours, theirs) = (fixture.client(), fixture.client());
    let keys = [fixture.key("b"), fixture.key("a"), fixture.key("c")];
    let guard = soon("free locks", ours.lock_all(&keys).name("all").acquire()).await.unwrap();
    guard.check().unwrap();
    let named: Vec<&str> = guard.keys().map(crate::values::key::Key::as_str).collect();
    assert_eq!(named, [&keys[1], &keys[0], &keys[2]]);
    assert_eq!(guard.fence_of(&keys[1]), Some(guard.fence()));
    for (key, label) in keys.iter().zip(["b", "a", "c"]) {
        assert!(guard.fence_of(key).is_some());
        for client in [&ours, &theirs] {
            is_held(client, key).await;
        }
        assert_eq!(fixture.line(label).await.0, ["all"]);
    }
    assert_eq!(guard.fence_of("another"), None);
    let waiting = tokio::spawn(theirs.lock_all([&keys[2], &keys[1]]).acquire());
    fixture.until("a", &["all"], 1).await;
    guard.release().await.unwrap();
    soon("two of three", waiting).await.unwrap().unwrap().release().await.unwrap();
    for label in ["a", "b", "c"] {
        fixture.is_free(label).await;
    }
}

async fn a_request_for_several_that_is_dropped_leaves_nothing(fixture: &Fixture) {
    let (ours, theirs) = (fixture.client(), fixture.client());
    let keys = [fixture.key("a"), fixture.key("b")];
    let held = acquire(&theirs, &keys[1], "held").await;
    for client in [&ours, &theirs] {
        let waiting = tokio::spawn(client.lock_all(&keys).acquire());
        fixture.until("b", &["held"], usize::from(std::ptr::eq(client, &ours))).await;
        waiting.abort();
        // Whoever waits for the other one is not kept waiting by it.
        let free = soon("the first of two", client.lock(&keys[0]).acquire()).await.unwrap();
        free.release().await.unwrap();
    }
    let late = ours.lock_all(&keys).wait(Duration::from_millis(50)).acquire();
    refused(soon("the end of a wait", late).await, ErrorKind::Timeout);
    let busy = refused(soon("a try", ours.lock_all(&keys).wait(Duration::ZERO).acquire()).await, ErrorKind::Busy);
    assert!(busy.holder().is_some_and(|holder| holder.name == "held"), "{busy}");
    held.release().await.unwrap();
    fixture.until("a", &[], 0).await;
    fixture.until("b", &[], 0).await;
}

async fn a_body_that_holds_several_joins_itself_for_each_of_them(fixture: &Fixture) {
    let (locks, keys) = (fixture.client(), [fixture.key("a"), fixture.key("b"), fixture.key("c")]);
    let body = async |_| {
        for key in &keys {
            let inner = soon("a lock that this body holds", locks.lock(key).acquire()).await.unwrap();
            assert!(inner.fence_of(key).is_some());
        }
        let two = soon("two of three", locks.lock_all(&keys[..2]).acquire()).await.unwrap();
        two.release().await.unwrap();
        is_held(&fixture.client(), &keys[1]).await;
    };
    locks.lock_all(&keys).run(body).await.unwrap();
    for label in ["a", "b", "c"] {
        fixture.is_free(label).await;
    }
}

async fn who_holds_one_of_several_is_refused_as_a_deadlock(fixture: &Fixture) {
    let (locks, keys) = (fixture.client(), [fixture.key("a"), fixture.key("b")]);
    let body = async |_| {
        let both = soon("a refusal", locks.lock_all(&keys).acquire()).await;
        let error = refused(both, ErrorKind::Deadlock);
        let text = error.to_string();
        assert!(text.contains("at one moment") && !text.contains("  "), "what to do: {text}");
    };
    locks.lock(&keys[0]).run(body).await.unwrap();
    fixture.is_free("b").await;
}

/// Accounts that several processes move money between, in whatever direction.
async fn transfers_in_both_directions_lose_nothing_and_never_wait_for_each_other(fixture: &Fixture) {
    const ACCOUNTS: usize = 4;
    let accounts: Arc<[Mutex<i64>; ACCOUNTS]> = Arc::new([100, 100, 100, 100].map(Mutex::new));
    let keys: Arc<Vec<String>> = Arc::new((0..ACCOUNTS).map(|account| fixture.key(&account.to_string())).collect());
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let client = fixture.client();
        for task in 0..4 {
            let (client, accounts, keys) = (client.clone(), Arc::clone(&accounts), Arc::clone(&keys));
            let world = fixture.world().clone();
            tasks.push(tokio::spawn(async move {
                for round in 0..10 {
                    let from = usize::try_from(world.bits() % 4).unwrap();
                    let to = (from + 1 + (task + round) % 3) % ACCOUNTS;
                    let body = async |guard: crate::api::guard::Guard| {
                        let mut taken = accounts[from].try_lock().expect("nobody else is in there");
                        let mut given = accounts[to].try_lock().expect("nobody else is in there");
                        guard.check().unwrap();
                        (*taken, *given) = (*taken - 7, *given + 7);
                    };
                    client.lock_all([&keys[from], &keys[to]]).run(body).await.unwrap();
                }
            }));
        }
    }
    for task in tasks {
        soon("all transfers", task).await.unwrap();
    }
    assert_eq!(accounts.iter().map(|account| *account.lock().unwrap()).sum::<i64>(), 400);
    for account in 0..ACCOUNTS {
        fixture.is_free(&account.to_string()).await;
    }
}

async fn several_that_are_held_at_least_stay_together(fixture: &Fixture) {
    let (ours, theirs) = (fixture.client(), fixture.client());
    let (keys, least) = ([fixture.key("a"), fixture.key("b")], Duration::from_secs(2));
    let begun = fixture.world().now();
    ours.lock_all(&keys).hold_at_least(least).run(async |_| {}).await.unwrap();
    let both = soon("both, later", theirs.lock_all(&keys).acquire()).await.unwrap();
    let waited = fixture.world().now().since(begun);
    assert!(waited >= least, "to be held for {least:?}; acquired after {waited:?}");
    both.release().await.unwrap();
    fixture.is_free("a").await;
    fixture.is_free("b").await;
}

/// The queues of one process, where a request for several is in all of them.
async fn a_process_that_is_behind_itself_gets_several_in_order(fixture: &Fixture) {
    let (locks, keys) = (fixture.client(), [fixture.key("a"), fixture.key("b")]);
    let held = acquire(&locks, &keys[1], "held").await;
    let mut both = Box::pin(locks.lock_all(&keys).acquire());
    // The first poll puts it into the queues, before the one behind it.
    assert!(poll_fn(|context| Poll::Ready(both.as_mut().poll(context).is_pending())).await);
    let both = tokio::spawn(both);
    // Free, and somebody who is first waits for it and another.
    let later = tokio::spawn(locks.lock(&keys[0]).acquire());
    let readers =
        locks.lock(&keys[0]).mode(if fixture.can().shared { READER } else { crate::values::mode::Mode::Exclusive });
    let tried = soon("a try", readers.try_acquire()).await.unwrap();
    drop(tried);
    held.release().await.unwrap();
    let both = soon("both", both).await.unwrap().unwrap();
    both.check().unwrap();
    both.release().await.unwrap();
    soon("the one behind", later).await.unwrap().unwrap().release().await.unwrap();
    fixture.is_free("a").await;
    fixture.is_free("b").await;
}

async fn several_are_lost_when_one_of_them_is(fixture: &Fixture) {
    let (ours, theirs) = (fixture.client(), fixture.client());
    let keys = [fixture.key("a"), fixture.key("b")];
    let guard = soon("both", ours.lock_all(&keys).ttl(Duration::from_secs(3)).acquire()).await.unwrap();
    assert!(theirs.force_release(&keys[1]).await.unwrap());
    assert_eq!(soon("the loss", guard.lost()).await.kind(), ErrorKind::Lost);
    let error = guard.release().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
    soon("both again", theirs.lock_all(&keys).acquire()).await.unwrap().release().await.unwrap();
    fixture.is_free("a").await;
    fixture.is_free("b").await;
}
