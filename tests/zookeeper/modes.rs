//! Readers, permits, and several locks at one moment: what goes wrong meanwhile, and what is shown of them.

use crate::{Case, Fixture};
use distributed_locks::store::{Entered, Entry, Grant, WhenBusy};
use distributed_locks::{ErrorKind, Guard, Holder, Key, Locks, Mode};
use std::sync::Arc;
use std::time::Duration;
use support::cases::Program;
use support::proxy::{Mode as Net, Proxy};
use support::scenarios::{client, connect, granted, queued};
use support::stores::zookeeper_at;
use support::zookeeper::{ZooKeeper, create};
use support::{Server, cases, eventually, in_time};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_lost_answer_is_the_same_place_in_every_queue,
        a_lost_answer_to_a_try_for_several_leaves_nothing,
        one_of_several_deleted_by_hand_is_a_loss_and_the_rest_leaves,
        one_of_several_deleted_while_it_enters_loses_nothing_else,
        who_waits_for_several_is_no_holder,
        one_reader_alone_is_released_by_its_fence,
        a_fence_stays_the_same_when_the_entry_moves,
        what_is_no_entry_is_in_no_readers_way,
    ]
}

fn entry(keys: &[String], number: u64, mode: Mode) -> Arc<Entry> {
    let mut keys = keys.iter().map(|key| Key::new(key).unwrap());
    let mut entry = Entry::new(keys.next().unwrap(), number, Holder::unknown().into());
    (entry.others, entry.mode) = (keys.collect(), mode);
    Arc::new(entry)
}

/// The nodes in the queue of a lock, and none of the locks below it.
fn queue(server: &ZooKeeper, key: &str) -> Vec<String> {
    let is_below = |path: &String| path.strip_prefix(key).is_some_and(|rest| rest.matches('/').count() == 1);
    server.left(key).into_iter().filter(is_below).collect()
}

fn keys(fixture: &Fixture) -> Vec<String> {
    ["a", "b", "c"].map(|label| fixture.key(label)).into()
}

/// The server would remove the locks' nodes while nothing is below them.
async fn stay(locks: &Locks, all: &[String]) -> Guard {
    locks.lock_all(all.iter().map(|key| format!("{key}/stays"))).acquire().await.unwrap()
}

/// All was created though nothing was answered: it is found by its names, and stays where it is.
async fn a_lost_answer_is_the_same_place_in_every_queue(fixture: Fixture) {
    let (server, all, locks) = (fixture.server(), keys(&fixture), client(&fixture));
    let _stay = stay(&locks, &all).await;
    let proxy = Proxy::to(server.address());
    let session = zookeeper_at(&proxy.addr().to_string(), String::new()).open(Duration::from_secs(90)).await.unwrap();
    // From now on the session knows that the locks' nodes are there: it does not look first.
    let first = entry(&all, 6, Mode::Exclusive);
    session.enter(first.clone(), WhenBusy::Queue).await.unwrap();
    session.leave(first).await.unwrap();
    let cases = [(7, Mode::Exclusive, &all[..]), (8, Mode::Shared, &all[..1]), (9, Mode::Permits(2), &all[..])];
    for (number, mode, of) in cases {
        let entry = entry(of, number, mode);
        proxy.set(Net::Unanswered);
        let error = session.enter(entry.clone(), WhenBusy::Queue).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        let there = || of.iter().map(|key| queue(&server, key)).collect::<Vec<_>>();
        let before = there();
        assert!(before.iter().all(|queue| queue.len() == 1), "created although it was not answered: {before:?}");
        proxy.set(Net::Refuse);
        proxy.set(Net::Pass);
        let again = eventually(async || session.enter(entry.clone(), WhenBusy::Queue).await).await;
        let is_of_one_transaction = |grant: &Grant| grant.others.iter().all(|other| *other == grant.fence);
        assert!(
            matches!(&again, Entered::Held(grant) if grant.others.len() == of.len() - 1 && is_of_one_transaction(grant)),
            "{again:?}"
        );
        assert_eq!(there(), before);
        session.leave(entry).await.unwrap();
        assert!(there().iter().all(Vec::is_empty));
    }
    session.close().await.unwrap();
}

/// Whoever leaves does not know what there is.
async fn a_lost_answer_to_a_try_for_several_leaves_nothing(fixture: Fixture) {
    let (server, all, locks) = (fixture.server(), keys(&fixture), client(&fixture));
    let _stay = stay(&locks, &all).await;
    let proxy = Proxy::to(server.address());
    let session = zookeeper_at(&proxy.addr().to_string(), String::new()).open(Duration::from_secs(90)).await.unwrap();
    for number in [6, 7] {
        let entry = entry(&all, number, Mode::Shared);
        if number == 7 {
            proxy.set(Net::Unanswered);
        }
        let entered = session.enter(entry.clone(), WhenBusy::Refuse).await;
        assert_eq!(entered.is_ok(), number == 6, "{entered:?}");
        proxy.set(Net::Refuse);
        proxy.set(Net::Pass);
        eventually(async || session.leave(entry.clone()).await).await;
        for key in &all {
            assert_eq!(queue(&server, key), [""; 0]);
        }
    }
    session.close().await.unwrap();
}

async fn one_of_several_deleted_by_hand_is_a_loss_and_the_rest_leaves(fixture: Fixture) {
    let (server, all, locks) = (fixture.server(), keys(&fixture), client(&fixture));
    for gone in [&all[0], &all[2]] {
        let guard = locks.lock_all(&all).ttl(Duration::from_secs(12)).acquire().await.unwrap();
        // From the first renewal on each node is watched.
        eventually(async || match server.command("wchp") {
            Some(watched) if all.iter().all(|key| watched.contains(key)) => Ok(()),
            watched => Err(watched),
        })
        .await;
        server.delete(gone);
        assert_eq!(in_time(guard.lost()).await.kind(), ErrorKind::Lost);
        drop(guard);
        eventually(async || match all.iter().flat_map(|key| server.left(key)).collect::<Vec<_>>() {
            left if left.is_empty() => Ok(()),
            left => Err(left),
        })
        .await;
    }
}

/// The answer comes when one of the nodes is gone already.
async fn one_of_several_deleted_while_it_enters_loses_nothing_else(fixture: Fixture) {
    let (server, mut all, locks) = (fixture.server(), keys(&fixture), client(&fixture));
    // The entry has the transaction's number from its first node.
    all.sort();
    // It leaves that out of the answer: who asks for it finds that the node is gone.
    let asks = fixture.program().label().ends_with("3.8");
    let _stay = stay(&locks, &all).await;
    let proxy = Proxy::to(server.address());
    let ours = connect(&server.url_at(&proxy.addr().to_string()));
    let other = ours.lock(fixture.key("other")).acquire().await.unwrap();
    // From now on it knows that the locks' nodes are there: all is sent in one round trip.
    ours.lock_all(&all).acquire().await.unwrap().release().await.unwrap();
    for (gone, waits) in [(&all[0], true), (&all[0], false), (&all[2], true)] {
        proxy.set(Net::Unanswered);
        let lock = ours.lock_all(&all);
        let acquiring = tokio::spawn(if waits { lock.acquire() } else { lock.wait(Duration::ZERO).acquire() });
        eventually(async || match locks.force_release(gone).await.unwrap() {
            true => Ok(()),
            false => Err("not created yet"),
        })
        .await;
        proxy.set(Net::Pass);
        let acquired = in_time(acquiring).await.unwrap();
        if waits || !asks {
            drop(acquired.unwrap());
        } else {
            let error = acquired.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(error.to_string().contains("deleted in ZooKeeper while"), "{error}");
        }
        other.check().unwrap();
        eventually(async || match all.iter().flat_map(|key| queue(&server, key)).collect::<Vec<_>>() {
            left if left.is_empty() => Ok(()),
            left => Err(left),
        })
        .await;
    }
    other.check().unwrap();
    other.release().await.unwrap();
}

/// It is first in one queue, and waits in another: neither lists it as a holder, and force releases those who hold.
async fn who_waits_for_several_is_no_holder(fixture: Fixture) {
    let (all, locks) = (keys(&fixture), client(&fixture));
    let held = client(&fixture).lock(&all[2]).acquire().await.unwrap();
    let waiting = tokio::spawn(locks.lock_all(&all).acquire());
    queued(&locks, &all[2], 1).await;
    for key in &all[..2] {
        let line = locks.inspect(key).await.unwrap().unwrap();
        assert_eq!((line.holders.len(), line.waiters.len()), (0, 1), "{line:?}");
        assert!(!locks.force_release(key).await.unwrap());
    }
    held.release().await.unwrap();
    let guard = granted(waiting).await;
    for key in &all {
        let line = locks.inspect(key).await.unwrap().unwrap();
        assert_eq!((line.holders.len(), line.waiters.len()), (1, 0), "{line:?}");
        assert_eq!(line.holders[0].fence, Some(guard.fence_of(key).unwrap().number()));
    }
    assert!(locks.force_release(&all[1]).await.unwrap());
    drop(guard);
}

async fn one_reader_alone_is_released_by_its_fence(fixture: Fixture) {
    let (server, key) = (fixture.server(), fixture.key("k"));
    let clients = [client(&fixture), client(&fixture)];
    let [one, other] = &clients;
    let (first, second) = (
        one.lock(&key).mode(Mode::Shared).acquire().await.unwrap(),
        other.lock(&key).mode(Mode::Shared).acquire().await.unwrap(),
    );
    let shown: Vec<_> = one.inspect(&key).await.unwrap().unwrap().holders.iter().map(|holder| holder.fence).collect();
    assert_eq!(shown, [first.fence(), second.fence()].map(|fence| Some(fence.number())));
    assert!(!one.force_release_if(&key, second.fence().number() + 1).await.unwrap());
    assert_eq!(server.left(&key).len(), 2);
    assert!(one.force_release_if(&key, first.fence().number()).await.unwrap());
    assert!(!one.force_release_if(&key, first.fence().number()).await.unwrap(), "it has gone");
    assert_eq!(server.left(&key).len(), 1);
    second.check().unwrap();
    second.release().await.unwrap();
    drop(first);
}

/// `hold_at_least` creates the node once more, in another transaction.
async fn a_fence_stays_the_same_when_the_entry_moves(fixture: Fixture) {
    let (server, key, locks) = (fixture.server(), fixture.key("k"), connect(&fixture.server().url_with("ttl=12s")));
    let plain = locks.lock(fixture.key("plain")).acquire().await.unwrap();
    for (number, mode) in [Mode::Exclusive, Mode::Shared, Mode::Permits(2)].into_iter().enumerate() {
        let key = format!("{key}{number}");
        let lock = locks.lock(&key).mode(mode).hold_at_least(Duration::from_secs(60));
        let guard = lock.acquire().await.unwrap();
        assert_ne!(server.owner(&key), server.owner(plain.key().as_str()), "it has moved");
        let line = locks.inspect(&key).await.unwrap().unwrap();
        assert_eq!(line.holders[0].fence, Some(guard.fence().number()));
        assert!(line.holders[0].is_known());
        assert!(locks.force_release_if(&key, guard.fence().number()).await.unwrap());
        assert_eq!(server.left(&key), [""; 0]);
        drop(guard);
    }
    plain.release().await.unwrap();
}

/// Curator would wait for it for ever. Behind a reader it is not the first that is looked at.
async fn what_is_no_entry_is_in_no_readers_way(fixture: Fixture) {
    let (key, locks) = (fixture.key("k"), client(&fixture));
    let first = locks.lock(&key).mode(Mode::Shared).acquire().await.unwrap();
    let mut command_line = fixture.server().open_command_line();
    for name in ["x", "_c_0-lock-", "_c_0-__WRIT__", "0__lock__"] {
        create(&mut command_line, "-s", &format!("{key}/{name}"), "stuck").await;
    }
    let other = client(&fixture);
    other.lock(&key).mode(Mode::Shared).wait(Duration::ZERO).acquire().await.unwrap().release().await.unwrap();
    let writer = tokio::spawn(client(&fixture).lock(&key).acquire());
    queued(&locks, &key, 1).await;
    let reader = tokio::spawn(other.lock(&key).mode(Mode::Shared).acquire());
    queued(&locks, &key, 2).await;
    first.release().await.unwrap();
    granted(writer).await.release().await.unwrap();
    granted(reader).await.release().await.unwrap();
}
