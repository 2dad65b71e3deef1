//! The contract itself: what the engine relies on when answers are lost and callers go away.

use super::fixture::{Fixture, attempt, hold, leave, queue, refused, soon, turn};
use crate::contract::{Entered, Session, WhenBusy};
use crate::values::error::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

list! {
    contract:
    |_| true => [
        a_call_does_nothing_until_it_is_polled,
        entering_again_is_the_same_hold,
        entering_again_is_the_same_position,
        trying_again_is_the_same_hold,
        after_busy_nothing_is_left,
        leaving_twice_or_without_an_entry_is_fine,
        leaving_removes_only_the_entry_itself,
        numbers_of_two_sessions_may_be_equal,
        of_entries_that_come_at_one_moment_one_holds_each_lock,
        waiting_for_a_turn_may_be_dropped_and_repeated,
        waiting_for_a_turn_ends_when_the_entry_left,
        no_removal_is_reported_of_an_entry_that_stays_or_left,
    ]
}

/// Nothing happens within this time that should not happen at all.
const A_WHILE: Duration = Duration::from_millis(100);

async fn a_call_does_nothing_until_it_is_polled(fixture: &Fixture) {
    let (session, entry) = (fixture.session().await, fixture.entry("k", "us"));
    drop(session.enter(Arc::clone(&entry), WhenBusy::Queue));
    fixture.is_free("k").await;
    hold(&session, &entry).await;
    drop(session.leave(Arc::clone(&entry)));
    drop(session.close());
    assert_eq!(fixture.line("k").await.0, ["us"]);
    session.renew().await.unwrap();
    leave(&session, &entry).await;
}

async fn entering_again_is_the_same_hold(fixture: &Fixture) {
    let (session, entry) = (fixture.session().await, fixture.entry("k", "us"));
    let mut fences = vec![hold(&session, &entry).await, hold(&session, &entry).await];
    match attempt(&session, &entry).await {
        Entered::Held(grant) => fences.push(grant.fence),
        other => panic!("it holds already, and trying returned {other:?}"),
    }
    fences.push(turn(&session, &entry).await.unwrap());
    fences.push(turn(&session, &entry).await.unwrap());
    assert_eq!(fixture.line("k").await, (vec!["us".to_owned()], vec![]));
    leave(&session, &entry).await;
    fixture.is_free("k").await;
    // Which answer came through must not matter to the next one's fence.
    let next = fixture.entry("k", "next");
    fences.push(hold(&session, &next).await);
    leave(&session, &next).await;
    if fixture.can().fencing {
        assert!(
            fences.is_sorted() && fences[4] < fences[5],
            "five answers for one hold, and the next one's: {fences:?}"
        );
    }
}

async fn entering_again_is_the_same_position(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    let (held, first, second) = (fixture.entry("k", "held"), fixture.entry("k", "1"), fixture.entry("k", "2"));
    hold(&ours, &held).await;
    queue(&theirs, &first).await;
    queue(&ours, &second).await;
    queue(&theirs, &first).await;
    fixture.until("k", &["held"], 2).await;
    leave(&ours, &held).await;
    if fixture.can().queue_order {
        turn(&theirs, &first).await.unwrap();
        assert_eq!(fixture.line("k").await, (vec!["1".to_owned()], vec!["2".to_owned()]));
        leave(&theirs, &first).await;
        turn(&ours, &second).await.unwrap();
    } else {
        leave(&theirs, &first).await;
        turn(&ours, &second).await.unwrap();
    }
    leave(&ours, &second).await;
    fixture.is_free("k").await;
}

async fn trying_again_is_the_same_hold(fixture: &Fixture) {
    let (session, entry) = (fixture.session().await, fixture.entry("k", "us"));
    for _ in 0..3 {
        let tried = attempt(&session, &entry).await;
        assert!(matches!(tried, Entered::Held(_)), "free, or its own although the answer was lost: {tried:?}");
    }
    let other = attempt(&session, &fixture.entry("k", "other")).await;
    assert!(matches!(&other, Entered::Busy(holder) if holder.name == "us"), "{other:?}");
    leave(&session, &entry).await;
    fixture.is_free("k").await;
}

async fn after_busy_nothing_is_left(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    let (held, tried) = (fixture.entry("k", "held"), fixture.entry("k", "tried"));
    hold(&ours, &held).await;
    for session in [&ours, &theirs] {
        let busy = attempt(session, &tried).await;
        assert!(matches!(&busy, Entered::Busy(holder) if holder.name == "held"), "{busy:?}");
        assert_eq!(fixture.line("k").await, (vec!["held".to_owned()], vec![]));
    }
    // Behind a mere waiter, too.
    let waiting = fixture.entry("k", "waiting");
    queue(&theirs, &waiting).await;
    assert!(matches!(attempt(&theirs, &fixture.entry("k", "tried")).await, Entered::Busy(_)));
    fixture.until("k", &["held"], 1).await;
    leave(&theirs, &waiting).await;
    leave(&ours, &held).await;
    fixture.is_free("k").await;
}

async fn leaving_twice_or_without_an_entry_is_fine(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    let (held, queued, never) = (fixture.entry("k", "held"), fixture.entry("k", "queued"), fixture.entry("k", "never"));
    leave(&ours, &never).await;
    hold(&ours, &held).await;
    queue(&theirs, &queued).await;
    leave(&ours, &never).await;
    leave(&theirs, &fixture.entry("another", "never")).await;
    for _ in 0..2 {
        leave(&theirs, &queued).await;
        fixture.until("k", &["held"], 0).await;
    }
    for _ in 0..2 {
        leave(&ours, &held).await;
        fixture.is_free("k").await;
    }
    // Late repetitions do not harm who comes next.
    let next = fixture.entry("k", "next");
    hold(&theirs, &next).await;
    leave(&ours, &held).await;
    leave(&theirs, &queued).await;
    assert_eq!(fixture.line("k").await.0, ["next"]);
    leave(&theirs, &next).await;
}

async fn leaving_removes_only_the_entry_itself(fixture: &Fixture) {
    let session = fixture.session().await;
    let (first, second, other) = (fixture.entry("k", "1"), fixture.entry("k", "2"), fixture.entry("k/1", "other"));
    hold(&session, &first).await;
    hold(&session, &other).await;
    queue(&session, &second).await;
    leave(&session, &second).await;
    assert_eq!(fixture.line("k").await, (vec!["1".to_owned()], vec![]), "the holder went with the waiter");
    let third = fixture.entry("k", "3");
    queue(&session, &third).await;
    leave(&session, &first).await;
    turn(&session, &third).await.unwrap();
    assert_eq!(fixture.line("k").await, (vec!["3".to_owned()], vec![]));
    assert_eq!(fixture.line("k/1").await.0, ["other"]);
    leave(&session, &third).await;
    leave(&session, &other).await;
}

/// Every process counts its entries from 1: the session is part of an entry's name.
async fn numbers_of_two_sessions_may_be_equal(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    let (held, waiting) = (fixture.numbered("k", "held", 1), fixture.numbered("k", "waiting", 1));
    hold(&ours, &held).await;
    let busy = attempt(&theirs, &waiting).await;
    assert!(matches!(&busy, Entered::Busy(_)), "another session's entry was taken for this one: {busy:?}");
    queue(&theirs, &waiting).await;
    leave(&theirs, &waiting).await;
    assert_eq!(fixture.line("k").await, (vec!["held".to_owned()], vec![]), "another session's entry was left");
    queue(&theirs, &waiting).await;
    leave(&ours, &held).await;
    turn(&theirs, &waiting).await.unwrap();
    leave(&ours, &held).await;
    assert_eq!(fixture.line("k").await, (vec!["waiting".to_owned()], vec![]), "another session's entry was left");
    leave(&theirs, &waiting).await;
}

/// A store may send what comes at one moment together.
async fn of_entries_that_come_at_one_moment_one_holds_each_lock(fixture: &Fixture) {
    let [ours, theirs] = fixture.two_sessions().await;
    for round in 0..5 {
        let (first, second) = if round % 2 == 0 { (&ours, &theirs) } else { (&theirs, &ours) };
        let entries = ["first", "k", "k", "l", "l"].map(|label| fixture.entry(label, label));
        let enter = |session: &Arc<dyn Session>, number: usize| {
            let entering = session.enter(Arc::clone(&entries[number]), WhenBusy::Queue);
            async move { matches!(entering.await.unwrap(), Entered::Held(_)) }
        };
        let (_, k, also_k, l, also_l) =
            tokio::join!(enter(&ours, 0), enter(first, 1), enter(second, 2), enter(second, 3), enter(first, 4));
        assert!(k != also_k && l != also_l, "who holds `k`: {k}, {also_k}; who holds `l`: {l}, {also_l}");
        for (session, entry) in [&ours, first, second, second, first].into_iter().zip(&entries) {
            leave(session, entry).await;
        }
    }
}

async fn waiting_for_a_turn_may_be_dropped_and_repeated(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    let (held, queued) = (fixture.entry("k", "held"), fixture.entry("k", "queued"));
    hold(&ours, &held).await;
    queue(&theirs, &queued).await;
    drop(theirs.wait_turn(Arc::clone(&queued)));
    for _ in 0..2 {
        let early = timeout(A_WHILE, theirs.wait_turn(Arc::clone(&queued))).await;
        assert!(early.is_err(), "its turn came while another held: {early:?}");
    }
    fixture.until("k", &["held"], 1).await;
    leave(&ours, &held).await;
    for _ in 0..2 {
        turn(&theirs, &queued).await.unwrap();
    }
    assert!(matches!(attempt(&theirs, &queued).await, Entered::Held(_)));
    leave(&theirs, &queued).await;
    fixture.is_free("k").await;
}

async fn waiting_for_a_turn_ends_when_the_entry_left(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    let (held, queued) = (fixture.entry("k", "held"), fixture.entry("k", "queued"));
    hold(&ours, &held).await;
    queue(&theirs, &queued).await;
    let waiting = tokio::spawn(theirs.wait_turn(Arc::clone(&queued)));
    leave(&theirs, &queued).await;
    refused(soon("the end of a turn whose entry left", waiting).await.unwrap(), ErrorKind::Lost);
    refused(turn(&theirs, &queued).await, ErrorKind::Lost);
    leave(&ours, &held).await;
    fixture.is_free("k").await;
}

async fn no_removal_is_reported_of_an_entry_that_stays_or_left(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    let (held, queued) = (fixture.entry("k", "held"), fixture.entry("k", "queued"));
    hold(&ours, &held).await;
    queue(&theirs, &queued).await;
    let mut gone = tokio::spawn(ours.removed(Arc::clone(&held)));
    let reported = timeout(3 * A_WHILE, &mut gone).await;
    assert!(reported.is_err(), "reported of an entry that holds: {reported:?}");
    leave(&theirs, &queued).await;
    leave(&ours, &held).await;
    let reported = timeout(3 * A_WHILE, &mut gone).await;
    assert!(reported.is_err(), "reported of an entry that left: {reported:?}");
    gone.abort();
}
