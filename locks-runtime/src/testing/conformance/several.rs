//! The contract for entries of several locks: all of them at one moment, or none.

use super::fixture::{Fixture, attempt, hold, leave, queue, refused, soon, turn};
use super::modes::{READER, WRITER};
use crate::contract::{Entered, Entry, Grant, Session, WhenBusy};
use crate::values::error::ErrorKind;
use crate::values::key::Key;
use std::sync::Arc;
use std::time::Duration;

list! {
    several:
    |can| can.multi_key => [
        of_several_locks_all_are_held_or_none,
        who_wants_several_waits_until_all_are_free,
        entering_several_again_is_the_same_hold,
        leaving_takes_an_entry_out_of_all_its_queues,
        the_end_of_a_session_frees_several,
        several_in_any_order_never_wait_for_each_other,
        several_lapse_together,
        a_session_that_is_renewed_keeps_several,
    ]
    |can| can.multi_key && can.queue_order => [
        nobody_overtakes_who_waits_for_several,
    ]
    |can| can.multi_key && can.fencing => [
        each_of_several_locks_has_its_own_fence,
    ]
    |can| can.multi_key && can.shared => [
        readers_of_several_hold_beside_each_other,
    ]
    |can| can.multi_key && can.force_release => [
        one_of_several_released_by_force_is_a_loss,
    ]
}

/// Acquires several locks that are free; returns their fencing numbers in order.
async fn hold_all(session: &Arc<dyn Session>, entry: &Arc<Entry>) -> Vec<u64> {
    match soon("free locks", session.enter(Arc::clone(entry), WhenBusy::Queue)).await {
        Ok(Entered::Held(Grant { fence, others })) => std::iter::once(fence).chain(others).collect(),
        other => panic!("{:?} were free, and entering them returned {other:?}", entry.keys().collect::<Vec<_>>()),
    }
}

/// Who holds each of these locks.
async fn holders(fixture: &Fixture, labels: &[&str]) -> Vec<Vec<String>> {
    let mut holders = Vec::new();
    for label in labels {
        holders.push(fixture.line(label).await.0);
    }
    holders
}

async fn of_several_locks_all_are_held_or_none(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    let (all, one) = (fixture.entry_for(&["a", "b", "c"], "all", WRITER), fixture.entry("b", "one"));
    hold(&theirs, &one).await;
    for session in [&ours, &theirs] {
        let busy = attempt(session, &fixture.entry_for(&["c", "a", "b"], "all", WRITER)).await;
        assert!(matches!(&busy, Entered::Busy(holder) if holder.name == "one"), "{busy:?}");
        assert_eq!(holders(fixture, &["a", "b", "c"]).await, [vec![], vec!["one".to_owned()], vec![]]);
    }
    leave(&theirs, &one).await;
    let held = attempt(&ours, &all).await;
    assert!(matches!(held, Entered::Held(_)), "all are free: {held:?}");
    assert_eq!(holders(fixture, &["a", "b", "c"]).await, [["all"], ["all"], ["all"]]);
    for label in ["a", "b", "c"] {
        let busy = attempt(&theirs, &fixture.entry(label, "other")).await;
        assert!(matches!(&busy, Entered::Busy(holder) if holder.name == "all"), "{label}: {busy:?}");
    }
    leave(&ours, &all).await;
    for label in ["a", "b", "c"] {
        fixture.is_free(label).await;
    }
}

async fn who_wants_several_waits_until_all_are_free(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    let (first, second) = (fixture.entry("a", "first"), fixture.entry("b", "second"));
    let all = fixture.entry_for(&["a", "b"], "all", WRITER);
    hold(&theirs, &first).await;
    hold(&ours, &second).await;
    queue(&ours, &all).await;
    let waiting = tokio::spawn(ours.wait_turn(Arc::clone(&all)));
    leave(&theirs, &first).await;
    // By now nobody else has the first, and who waits for both has not got it either.
    assert_eq!(attempt(&theirs, &fixture.entry("b", "other")).await, Entered::Busy(Arc::clone(&second.holder)));
    assert!(!waiting.is_finished(), "one of two is still held");
    leave(&ours, &second).await;
    let grant = soon("both", waiting).await.unwrap().unwrap();
    assert_eq!(grant.others.len(), 1, "a fence for each");
    assert_eq!(holders(fixture, &["a", "b"]).await, [["all"], ["all"]]);
    leave(&ours, &all).await;
    fixture.is_free("a").await;
    fixture.is_free("b").await;
}

async fn entering_several_again_is_the_same_hold(fixture: &Fixture) {
    let session = fixture.session().await;
    let all = fixture.entry_for(&["b", "a"], "all", WRITER);
    let first = hold_all(&session, &all).await;
    assert_eq!(first.len(), 2);
    let tried = attempt(&session, &all).await;
    assert!(matches!(tried, Entered::Held(_)), "it holds already: {tried:?}");
    if fixture.can().fencing {
        assert_eq!(hold_all(&session, &all).await.len(), 2);
        let grant = soon("its turn", session.wait_turn(Arc::clone(&all))).await.unwrap();
        assert!(grant.fence >= first[0] && grant.others[0] >= first[1], "{grant:?} after {first:?}");
    }
    for label in ["a", "b"] {
        assert_eq!(fixture.line(label).await, (vec!["all".to_owned()], vec![]));
    }
    leave(&session, &all).await;
    leave(&session, &all).await;
    fixture.is_free("a").await;
    fixture.is_free("b").await;
}

async fn leaving_takes_an_entry_out_of_all_its_queues(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    let (held, all) = (fixture.entry("b", "held"), fixture.entry_for(&["a", "b"], "all", WRITER));
    hold(&theirs, &held).await;
    queue(&ours, &all).await;
    leave(&ours, &all).await;
    fixture.is_free("a").await;
    let other = fixture.entry("a", "other");
    hold(&theirs, &other).await;
    leave(&theirs, &other).await;
    leave(&theirs, &held).await;
    fixture.is_free("b").await;
}

async fn the_end_of_a_session_frees_several(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    let all = fixture.entry_for(&["a", "b"], "all", WRITER);
    hold_all(&ours, &all).await;
    let next = fixture.entry_for(&["b", "a"], "next", WRITER);
    queue(&theirs, &next).await;
    ours.close().await.unwrap();
    turn(&theirs, &next).await.unwrap();
    leave(&theirs, &next).await;
    fixture.is_free("a").await;
    fixture.is_free("b").await;
}

/// Each takes two of three locks. If they took one after the other, they would wait for each other soon.
async fn several_in_any_order_never_wait_for_each_other(fixture: &Fixture) {
    const PAIRS: [[&str; 2]; 6] = [["a", "b"], ["b", "a"], ["b", "c"], ["c", "b"], ["c", "a"], ["a", "c"]];
    const ROUNDS: usize = 8;
    let inside = Arc::new(crate::values::mutex::Mutex::new(Vec::<Key>::new()));
    let rounds = PAIRS.map(|pair| {
        let inside = Arc::clone(&inside);
        async move {
            let session = fixture.session().await;
            for _ in 0..ROUNDS {
                let entry = fixture.entry_for(&pair, "pair", WRITER);
                let entered = soon("an answer", session.enter(Arc::clone(&entry), WhenBusy::Queue)).await.unwrap();
                if entered == Entered::Queued {
                    turn(&session, &entry).await.unwrap();
                }
                {
                    let mut inside = inside.lock();
                    assert!(!entry.keys().any(|key| inside.contains(key)), "two hold one of {entry:?}");
                    inside.extend(entry.keys().cloned());
                }
                tokio::task::yield_now().await;
                inside.lock().retain(|key| !entry.keys().any(|own| own == key));
                leave(&session, &entry).await;
            }
        }
    });
    let [one, two, three, four, five, six] = rounds;
    tokio::join!(one, two, three, four, five, six);
    for label in ["a", "b", "c"] {
        fixture.is_free(label).await;
    }
}

async fn several_lapse_together(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    let all = fixture.entry_for(&["a", "b"], "all", WRITER);
    hold_all(&ours, &all).await;
    let (least, begun) = (Duration::from_millis(1500), fixture.world().now());
    ours.extend(Arc::clone(&all), least).await.unwrap();
    ours.lapse(Arc::clone(&all), least).await.unwrap();
    ours.close().await.unwrap();
    for label in ["b", "a"] {
        let next = fixture.entry(label, "next");
        if soon("entering", theirs.enter(Arc::clone(&next), WhenBusy::Queue)).await.unwrap() == Entered::Queued {
            turn(&theirs, &next).await.unwrap();
        }
        let waited = fixture.world().now().since(begun);
        assert!(waited >= least, "{label} was to stay for {least:?}, and was free after {waited:?}");
        leave(&theirs, &next).await;
    }
}

async fn a_session_that_is_renewed_keeps_several(fixture: &Fixture) {
    let theirs = fixture.session().await;
    let ours = fixture.session_for(Duration::from_secs(1)).await;
    let all = fixture.entry_for(&["a", "b"], "all", WRITER);
    hold_all(&ours, &all).await;
    let begun = fixture.world().now();
    while fixture.world().now().since(begun) < ours.ttl() * 2 {
        let sent = fixture.world().now();
        let renewal = ours.renew().await;
        if fixture.world().now().since(sent) > ours.ttl() / 2 {
            // This machine is too busy to keep a session this short alive.
            return;
        }
        assert!(renewal.unwrap().uncovered.is_empty());
        for label in ["a", "b"] {
            let busy = attempt(&theirs, &fixture.entry(label, "other")).await;
            let since = fixture.world().now().since(sent);
            assert!(matches!(busy, Entered::Busy(_)) || since > ours.ttl() / 2, "{label}, after {since:?}: {busy:?}");
            if matches!(busy, Entered::Held(_)) {
                return;
            }
        }
        tokio::time::sleep(ours.ttl() / 10).await;
    }
    leave(&ours, &all).await;
    fixture.is_free("a").await;
    fixture.is_free("b").await;
}

async fn nobody_overtakes_who_waits_for_several(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    let (held, all) = (fixture.entry("b", "held"), fixture.entry_for(&["a", "b"], "all", WRITER));
    hold(&theirs, &held).await;
    queue(&ours, &all).await;
    // The lock is free, and who waits for it and another one is first.
    let busy = attempt(&theirs, &fixture.entry("a", "later")).await;
    assert!(matches!(busy, Entered::Busy(_)), "{busy:?}");
    let later = fixture.entry("a", "later");
    queue(&theirs, &later).await;
    let waiting = tokio::spawn(theirs.wait_turn(Arc::clone(&later)));
    leave(&theirs, &held).await;
    turn(&ours, &all).await.unwrap();
    assert!(!waiting.is_finished(), "it has overtaken who waits for both");
    leave(&ours, &all).await;
    soon("the turn of the later one", waiting).await.unwrap().unwrap();
    leave(&theirs, &later).await;
    fixture.is_free("a").await;
}

async fn each_of_several_locks_has_its_own_fence(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    let mut before = Vec::new();
    for label in ["a", "b"] {
        // One of them has been held more often.
        for _ in 0..if label == "b" { 3 } else { 1 } {
            let one = fixture.entry(label, "one");
            before.push(hold(&theirs, &one).await);
            leave(&theirs, &one).await;
        }
    }
    let all = fixture.entry_for(&["b", "a"], "all", WRITER);
    let fences = hold_all(&ours, &all).await;
    assert!(fences[0] > before[0] && fences[1] > before[3], "{fences:?}, in the order of the keys, after {before:?}");
    leave(&ours, &all).await;
    for (label, fence) in ["a", "b"].into_iter().zip(fences) {
        let one = fixture.entry(label, "one");
        assert!(hold(&theirs, &one).await > fence, "{label}");
        leave(&theirs, &one).await;
    }
}

async fn readers_of_several_hold_beside_each_other(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    let (first, second) =
        (fixture.entry_for(&["a", "b"], "first", READER), fixture.entry_for(&["b", "c"], "second", READER));
    hold_all(&ours, &first).await;
    hold_all(&theirs, &second).await;
    let writer = fixture.entry_for(&["a", "c"], "writer", WRITER);
    queue(&theirs, &writer).await;
    leave(&ours, &first).await;
    let busy = attempt(&ours, &fixture.entry("c", "other")).await;
    assert!(matches!(busy, Entered::Busy(_)), "{busy:?}");
    leave(&theirs, &second).await;
    turn(&theirs, &writer).await.unwrap();
    leave(&theirs, &writer).await;
    for label in ["a", "b", "c"] {
        fixture.is_free(label).await;
    }
}

async fn one_of_several_released_by_force_is_a_loss(fixture: &Fixture) {
    let ours = fixture.session().await;
    let all = fixture.entry_for(&["a", "b"], "all", WRITER);
    for label in ["a", "b"] {
        hold_all(&ours, &all).await;
        let key = Key::new(fixture.key(label)).unwrap();
        assert_eq!(fixture.store().force_release(key).await.unwrap(), 1);
        // Either the store shows it, or the next renewal does.
        let is_lost = async {
            if fixture.can().notices_removal {
                let Err(error) = ours.removed(Arc::clone(&all)).await;
                return error.kind();
            }
            loop {
                match ours.renew().await {
                    Ok(renewal) if renewal.uncovered.iter().any(|entry| entry.number == all.number) => {
                        return ErrorKind::Lost;
                    }
                    Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                    Err(error) => return error.kind(),
                }
            }
        };
        assert_eq!(soon("the loss", is_lost).await, ErrorKind::Lost, "{label}");
        refused(ours.lapse(Arc::clone(&all), Duration::from_secs(60)).await, ErrorKind::Lost);
        leave(&ours, &all).await;
        fixture.is_free("a").await;
        fixture.is_free("b").await;
    }
}
