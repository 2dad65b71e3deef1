//! The contract on time: what stays, what lapses, and what ends everything.

use super::fixture::{Fixture, LONG, PACES, attempt, hold, leave, queue, refused, soon, too_busy, turn};
use crate::contract::{Entered, WhenBusy};
use crate::values::error::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

list! {
    sessions:
    |_| true => [
        a_lapsing_entry_stays_for_its_time,
        an_extended_entry_stays_after_its_session_closed,
        closing_removes_all_entries_and_is_final,
        no_ttl_is_shorter_than_asked,
        a_session_stays_for_its_ttl,
        an_extended_or_lapsing_entry_leaves_at_once,
        an_extended_or_lapsing_entry_leaves_after_its_session_closed,
        only_a_holder_lapses,
    ]
    |can| can.outlives_process => [
        a_session_that_is_not_renewed_lapses_but_not_early,
    ]
    |can| can.force_release && can.notices_removal => [
        a_removal_is_reported,
    ]
    |can| can.force_release => [
        an_extended_entry_can_be_released_by_force,
        an_overtaken_holder_is_told_when_its_entry_is_to_lapse,
    ]
}

async fn a_lapsing_entry_stays_for_its_time(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    for least in PACES {
        let entries = ["us", "queued", "tried"].map(|name| fixture.entry("k", name));
        let [held, queued, tried] = &entries;
        hold(&ours, held).await;
        queue(&theirs, queued).await;
        let begun = fixture.world().now();
        soon("extending", ours.extend(Arc::clone(held), least)).await.unwrap();
        // The answer to the first may have been lost.
        for _ in 0..2 {
            soon("lapsing", ours.lapse(Arc::clone(held), least)).await.unwrap();
        }
        let line = fixture.line("k").await;
        let attempted = attempt(&theirs, tried).await;
        let in_time = fixture.world().now().since(begun) < least;
        if in_time {
            assert_eq!(line.0, ["us"], "free although it was extended");
            assert!(matches!(&attempted, Entered::Busy(holder) if holder.name == "us"), "{attempted:?}");
        }
        leave(&theirs, tried).await;
        turn(&theirs, queued).await.unwrap();
        let waited = fixture.world().now().since(begun);
        assert!(waited >= least, "extended by {least:?}; acquired after {waited:?}");
        assert_eq!(fixture.line("k").await, (vec!["queued".to_owned()], vec![]));
        leave(&theirs, queued).await;
        if in_time {
            return fixture.is_free("k").await;
        }
    }
    too_busy();
}

async fn an_extended_or_lapsing_entry_leaves_at_once(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    for lapses in [false, true] {
        let (held, queued) = (fixture.entry("k", "us"), fixture.entry("k", "queued"));
        hold(&ours, &held).await;
        queue(&theirs, &queued).await;
        soon("extending", ours.extend(Arc::clone(&held), Duration::from_secs(3600))).await.unwrap();
        if lapses {
            soon("lapsing", ours.lapse(Arc::clone(&held), Duration::from_secs(3600))).await.unwrap();
        }
        leave(&ours, &held).await;
        leave(&ours, &held).await;
        turn(&theirs, &queued).await.unwrap();
        leave(&theirs, &queued).await;
        fixture.is_free("k").await;
    }
}

/// A session that is lost is closed, perhaps before a call whose entry is extended has given up.
async fn an_extended_or_lapsing_entry_leaves_after_its_session_closed(fixture: &Fixture) {
    const LEAST: Duration = Duration::from_secs(3600);
    let theirs = fixture.session().await;
    for lapses in [false, true] {
        let ours = fixture.session().await;
        let (held, queued) = (fixture.entry("k", "us"), fixture.entry("k", "queued"));
        hold(&ours, &held).await;
        queue(&theirs, &queued).await;
        soon("extending", ours.extend(Arc::clone(&held), LEAST)).await.unwrap();
        if lapses {
            soon("lapsing", ours.lapse(Arc::clone(&held), LEAST)).await.unwrap();
        }
        soon("closing", Arc::clone(&ours).close()).await.unwrap();
        leave(&ours, &held).await;
        turn(&theirs, &queued).await.unwrap();
        leave(&theirs, &queued).await;
        fixture.is_free("k").await;
    }
}

async fn only_a_holder_lapses(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    let (held, queued) = (fixture.entry("k", "us"), fixture.entry("k", "queued"));
    hold(&ours, &held).await;
    leave(&ours, &held).await;
    let gone = soon("lapsing", ours.lapse(Arc::clone(&held), Duration::from_secs(60))).await;
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::Lost);
    hold(&theirs, &queued).await;
    leave(&theirs, &queued).await;
    fixture.is_free("k").await;
}

async fn an_extended_entry_can_be_released_by_force(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    let (held, queued) = (fixture.entry("k", "us"), fixture.entry("k", "queued"));
    hold(&ours, &held).await;
    ours.lapse(Arc::clone(&held), Duration::from_secs(3600)).await.unwrap();
    queue(&theirs, &queued).await;
    assert_eq!(fixture.store().force_release(held.key.clone()).await.unwrap(), 1);
    turn(&theirs, &queued).await.unwrap();
    leave(&theirs, &queued).await;
    fixture.is_free("k").await;
}

/// Its body may have run beside the next one's.
async fn an_overtaken_holder_is_told_when_its_entry_is_to_lapse(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    for least in [Duration::from_secs(5), Duration::from_secs(3600)] {
        let (held, next) = (fixture.entry("k", "us"), fixture.entry("k", "next"));
        hold(&ours, &held).await;
        ours.extend(Arc::clone(&held), least).await.unwrap();
        assert_eq!(fixture.store().force_release(held.key.clone()).await.unwrap(), 1);
        hold(&theirs, &next).await;
        refused(ours.lapse(Arc::clone(&held), least).await, ErrorKind::Lost);
        assert_eq!(fixture.line("k").await, (vec!["next".to_owned()], vec![]));
        leave(&ours, &held).await;
        leave(&theirs, &next).await;
        fixture.is_free("k").await;
    }
}

async fn an_extended_entry_stays_after_its_session_closed(fixture: &Fixture) {
    let theirs = fixture.session().await;
    for least in PACES {
        let ours = fixture.session().await;
        let (extended, brief) = (fixture.entry("k", "extended"), fixture.entry("brief", "brief"));
        hold(&ours, &extended).await;
        hold(&ours, &brief).await;
        let begun = fixture.world().now();
        // The answer to the first may have been lost.
        for _ in 0..2 {
            soon("extending", ours.extend(Arc::clone(&extended), least)).await.unwrap();
        }
        ours.close().await.unwrap();
        let line = fixture.line("k").await;
        let in_time = fixture.world().now().since(begun) < least;
        assert!(line.0 == ["extended"] || !in_time, "free although it was extended: {line:?}");
        fixture.is_free("brief").await;
        let next = fixture.entry("k", "next");
        soon("entering", theirs.enter(Arc::clone(&next), WhenBusy::Queue)).await.unwrap();
        turn(&theirs, &next).await.unwrap();
        let waited = fixture.world().now().since(begun);
        assert!(waited >= least, "extended by {least:?}; acquired after {waited:?}");
        leave(&theirs, &next).await;
        if in_time {
            return;
        }
    }
    too_busy();
}

async fn closing_removes_all_entries_and_is_final(fixture: &Fixture) {
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
    fixture.is_free("free").await;
    // Either answer lets the engine stop retrying.
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
    for ttl in PACES {
        let (ours, held) = (fixture.session_for(ttl).await, fixture.entry("k", "held"));
        hold(&ours, &held).await;
        let mut in_time = true;
        for _ in 0..2 {
            let sent = fixture.world().now();
            if ours.renew().await.is_err() {
                // It lapsed: the machine was too slow to renew it.
                in_time = false;
                break;
            }
            tokio::time::sleep((ours.ttl() * 4 / 5).saturating_sub(fixture.world().now().since(sent))).await;
            let line = fixture.line("k").await;
            if fixture.world().now().since(sent) < ours.ttl() {
                assert_eq!(line.0, ["held"], "it lapsed early");
            } else {
                in_time = false;
            }
        }
        leave(&ours, &held).await;
        if in_time {
            return;
        }
    }
    too_busy();
}

async fn a_session_that_is_not_renewed_lapses_but_not_early(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session_for(Duration::from_secs(1)).await, fixture.session().await);
    let (held, next) = (fixture.entry("k", "held"), fixture.entry("k", "next"));
    let fence = hold(&ours, &held).await;
    queue(&theirs, &next).await;
    // From the last renewal on, counted from before it was sent.
    let begun = fixture.world().now();
    ours.renew().await.unwrap();
    let later = turn(&theirs, &next).await.unwrap();
    assert!(fence < later || !fixture.can().fencing, "{fence} and then {later}");
    let took = fixture.world().now().since(begun);
    assert!(took >= ours.ttl(), "a TTL of {:?} lapsed after {took:?}", ours.ttl());
    refused(ours.renew().await, ErrorKind::Lost);
    refused(turn(&ours, &held).await, ErrorKind::Lost);
    refused(ours.enter(fixture.entry("k", "late"), WhenBusy::Queue).await, ErrorKind::Lost);
    leave(&theirs, &next).await;
    fixture.is_free("k").await;
}

async fn a_removal_is_reported(fixture: &Fixture) {
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
