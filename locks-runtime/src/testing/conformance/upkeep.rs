//! The contract on time: what stays, what lapses, and what ends it all.

use super::fixture::{Fixture, LONG, attempt, hold, leave, now, queue, refused, soon, turn};
use crate::contract::{Entered, WhenBusy};
use crate::values::error::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

list! {
    upkeep:
    |_| true => [
        a_kept_entry_stays_after_it_left,
        a_kept_entry_stays_after_its_session_closed,
        closing_takes_all_entries_and_is_final,
        no_ttl_is_shorter_than_asked,
        a_session_stays_for_its_ttl,
    ]
    |can| can.outlives_process => [
        a_session_that_is_not_renewed_lapses_but_not_early,
    ]
    |can| can.force_release && can.notices_removal => [
        a_removal_is_told,
    ]
    |can| can.force_release => [
        a_kept_entry_can_be_taken_away,
    ]
}

/// How long a lock is kept here.
const LEAST: Duration = Duration::from_millis(800);

/// How much later a store may notice that a time is over.
const LATE: Duration = Duration::from_secs(6);

async fn a_kept_entry_stays_after_it_left(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    let (held, queued, tried) = (fixture.entry("k", "us"), fixture.entry("k", "queued"), fixture.entry("k", "tried"));
    hold(&ours, &held).await;
    queue(&theirs, &queued).await;
    let begun = now();
    soon("keeping", ours.extend(Arc::clone(&held), LEAST)).await.unwrap();
    leave(&ours, &held).await;
    leave(&ours, &held).await;
    assert_eq!(fixture.line("k").await.0, ["us"], "free although it is kept");
    assert!(matches!(attempt(&theirs, &tried).await, Entered::Busy(holder) if holder.name == "us"));
    turn(&theirs, &queued).await.unwrap();
    let took = now().since(begun);
    assert!(took >= LEAST && took < LEAST + LATE, "kept for {LEAST:?}, and taken after {took:?}");
    assert_eq!(fixture.line("k").await, (vec!["queued".to_owned()], vec![]));
    leave(&theirs, &queued).await;
    fixture.nobody("k").await;
}

async fn a_kept_entry_can_be_taken_away(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    let (held, queued) = (fixture.entry("k", "us"), fixture.entry("k", "queued"));
    hold(&ours, &held).await;
    ours.extend(Arc::clone(&held), Duration::from_secs(3600)).await.unwrap();
    leave(&ours, &held).await;
    queue(&theirs, &queued).await;
    assert_eq!(fixture.store().force_release(held.key.clone()).await.unwrap(), 1);
    turn(&theirs, &queued).await.unwrap();
    leave(&theirs, &queued).await;
    fixture.nobody("k").await;
}

async fn a_kept_entry_stays_after_its_session_closed(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    let (kept, brief) = (fixture.entry("k", "kept"), fixture.entry("brief", "brief"));
    hold(&ours, &kept).await;
    hold(&ours, &brief).await;
    let begun = now();
    // The answer to the first may have been lost.
    for _ in 0..2 {
        soon("keeping", ours.extend(Arc::clone(&kept), LEAST)).await.unwrap();
    }
    ours.close().await.unwrap();
    assert_eq!(fixture.line("k").await.0, ["kept"], "free although it is kept");
    fixture.nobody("brief").await;
    let next = fixture.entry("k", "next");
    queue(&theirs, &next).await;
    turn(&theirs, &next).await.unwrap();
    let took = now().since(begun);
    assert!(took >= LEAST && took < LEAST + LATE, "kept for {LEAST:?}, and taken after {took:?}");
    leave(&theirs, &next).await;
}

async fn closing_takes_all_entries_and_is_final(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    let (held, queued) = (fixture.entry("ours", "held"), fixture.entry("theirs", "queued"));
    let (blocker, next) = (fixture.entry("theirs", "blocker"), fixture.entry("ours", "next"));
    hold(&ours, &held).await;
    hold(&theirs, &blocker).await;
    queue(&ours, &queued).await;
    queue(&theirs, &next).await;
    let waiting = tokio::spawn(ours.wait_turn(Arc::clone(&queued)));
    fixture.until("theirs", &["blocker"], 1).await;
    for _ in 0..2 {
        soon("closing", ours.close()).await.unwrap();
        assert_eq!(fixture.line("theirs").await, (vec!["blocker".to_owned()], vec![]));
    }
    turn(&theirs, &next).await.unwrap();
    refused(soon("the end of a turn whose session closed", waiting).await.unwrap(), ErrorKind::Lost);
    refused(soon("renewing", ours.renew()).await, ErrorKind::Lost);
    refused(turn(&ours, &held).await, ErrorKind::Lost);
    for when_busy in [WhenBusy::Refuse, WhenBusy::Queue] {
        let entered = ours.enter(fixture.entry("free", "late"), when_busy);
        refused(soon("entering", entered).await, ErrorKind::Lost);
    }
    fixture.nobody("free").await;
    // Either answer lets the engine stop asking.
    if let Err(error) = ours.leave(Arc::clone(&held)).await {
        assert_eq!(error.kind(), ErrorKind::Lost);
    }
    assert_eq!(fixture.line("ours").await.0, ["next"]);
    leave(&theirs, &blocker).await;
    leave(&theirs, &next).await;
}

async fn no_ttl_is_shorter_than_asked(fixture: &Fixture) {
    for asked in [Duration::from_millis(1), Duration::from_millis(2500), Duration::from_secs(86_400 * 365)] {
        let session = match fixture.store().open(asked).await {
            // A store whose longest TTL is shorter must say so.
            Err(error) if asked > LONG => {
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
                continue;
            }
            opened => opened.unwrap(),
        };
        assert!(session.ttl() >= asked, "{asked:?} was asked, and {:?} granted", session.ttl());
        session.close().await.unwrap();
    }
}

/// The engine counts on the whole TTL that was granted, from the moment it asked.
async fn a_session_stays_for_its_ttl(fixture: &Fixture) {
    let (ours, held) = (fixture.session_for(Duration::from_secs(1)).await, fixture.entry("k", "held"));
    hold(&ours, &held).await;
    for _ in 0..2 {
        soon("a renewal", ours.renew()).await.unwrap();
        tokio::time::sleep(ours.ttl() * 4 / 5).await;
        assert_eq!(fixture.line("k").await.0, ["held"], "it lapsed early");
    }
    soon("a renewal", ours.renew()).await.unwrap();
    leave(&ours, &held).await;
}

async fn a_session_that_is_not_renewed_lapses_but_not_early(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session_for(Duration::from_secs(1)).await, fixture.session().await);
    let (held, next) = (fixture.entry("k", "held"), fixture.entry("k", "next"));
    let fence = hold(&ours, &held).await;
    queue(&theirs, &next).await;
    // From the last renewal on, counted from before it was sent.
    let begun = now();
    ours.renew().await.unwrap();
    let later = turn(&theirs, &next).await.unwrap();
    assert!(fence < later || !fixture.can().fencing, "{fence} and then {later}");
    let took = now().since(begun);
    assert!(took >= ours.ttl() && took < ours.ttl() + LATE, "a TTL of {:?} lapsed after {took:?}", ours.ttl());
    refused(ours.renew().await, ErrorKind::Lost);
    refused(turn(&ours, &held).await, ErrorKind::Lost);
    refused(ours.enter(fixture.entry("k", "late"), WhenBusy::Queue).await, ErrorKind::Lost);
    leave(&theirs, &next).await;
    fixture.nobody("k").await;
}

async fn a_removal_is_told(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    let (held, next) = (fixture.entry("k", "held"), fixture.entry("k", "next"));
    let fence = hold(&ours, &held).await;
    queue(&theirs, &next).await;
    let (gone, store) = (tokio::spawn(ours.removed(Arc::clone(&held))), fixture.store());
    assert_eq!(store.force_release(held.key.clone()).await.unwrap(), 1);
    refused(soon("the removal", gone).await.unwrap(), ErrorKind::Lost);
    refused(soon("the removal, asked afterwards", ours.removed(Arc::clone(&held))).await, ErrorKind::Lost);
    let later = turn(&theirs, &next).await.unwrap();
    assert!(fence < later || !fixture.can().fencing, "{fence} and then {later}");
    leave(&ours, &held).await;
    assert_eq!(fixture.line("k").await, (vec!["next".to_owned()], vec![]));
    leave(&theirs, &next).await;
    assert_eq!(store.force_release(held.key.clone()).await.unwrap(), 0);
}
