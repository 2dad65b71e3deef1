//! Who may hold a lock beside whom: so many permits, and no more.

use super::fixture::{Fixture, acquire, attempt, hold, leave, queue, soon, turn};
use super::modes::{READER, WRITER, acquire_as, held_at_least, is_busy, many, wait_as};
use crate::contract::Entered;
use crate::values::mode::Mode;

list! {
    permits:
    |can| can.permits => [
        so_many_hold_at_once_and_no_more,
        a_permit_comes_back_however_its_hold_ends,
        never_more_hold_than_there_are_permits,
        permits_are_of_no_use_beside_a_writer,
        a_permit_that_is_held_at_least_does_not_come_back_before,
    ]
    |can| can.permits && can.queue_order => [
        each_entry_counts_by_its_own_limit,
    ]
    |can| can.permits && can.shared => [
        readers_and_permits_wait_for_each_other,
    ]
}

async fn a_permit_that_is_held_at_least_does_not_come_back_before(fixture: &Fixture) {
    assert_eq!(held_at_least(fixture, Mode::Permits(1), [Mode::Permits(1), Mode::Permits(2)]).await, [false, true]);
}

async fn so_many_hold_at_once_and_no_more(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let permit = Mode::Permits(3);
    let guards = [
        acquire_as(&ours, &key, "a", permit).await,
        acquire_as(&theirs, &key, "b", permit).await,
        acquire_as(&ours, &key, "c", permit).await,
    ];
    for client in [&ours, &theirs, &fixture.client()] {
        is_busy(client, &key, permit).await;
    }
    let waiting = wait_as(&theirs, &key, "d", permit);
    fixture.until("k", &["a", "b", "c"], 1).await;
    let [first, second, third] = guards;
    second.release().await.unwrap();
    let fourth = soon("the permit that came back", waiting).await.unwrap().unwrap();
    for guard in [first, third, fourth] {
        guard.check().unwrap();
        guard.release().await.unwrap();
    }
    fixture.is_free("k").await;
}

async fn a_permit_comes_back_however_its_hold_ends(fixture: &Fixture) {
    let (ours, key) = (fixture.client(), fixture.key("k"));
    let permit = Mode::Permits(2);
    let _stays = acquire_as(&ours, &key, "stays", permit).await;
    for round in 0..4 {
        let theirs = fixture.client();
        let guard = acquire_as(&theirs, &key, "ends", permit).await;
        let waiting = wait_as(&ours, &key, "waits", permit);
        fixture.until_held_by("k", &["ends", "stays"]).await;
        match round {
            0 => guard.release().await.unwrap(),
            1 => drop(guard),
            2 => theirs.close().await,
            _ => {
                let body = tokio::spawn(async move {
                    let _guard = guard;
                    std::future::pending::<()>().await;
                });
                tokio::task::yield_now().await;
                body.abort();
            }
        }
        soon("the permit", waiting).await.unwrap().unwrap().release().await.unwrap();
    }
}

async fn permits_are_of_no_use_beside_a_writer(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let permit = acquire_as(&ours, &key, "permit", Mode::Permits(5)).await;
    is_busy(&theirs, &key, WRITER).await;
    permit.release().await.unwrap();
    let writer = acquire(&theirs, &key, "writer").await;
    is_busy(&ours, &key, Mode::Permits(5)).await;
    writer.release().await.unwrap();
    fixture.is_free("k").await;
}

async fn readers_and_permits_wait_for_each_other(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    for (one, other) in [(READER, Mode::Permits(5)), (Mode::Permits(5), READER)] {
        let held = acquire_as(&ours, &key, "held", one).await;
        let waiting = wait_as(&theirs, &key, "waiting", other);
        fixture.until("k", &["held"], 1).await;
        held.release().await.unwrap();
        soon("the other kind", waiting).await.unwrap().unwrap().release().await.unwrap();
    }
    fixture.is_free("k").await;
}

/// A new version of a program has another limit than the old one, for a while.
async fn each_entry_counts_by_its_own_limit(fixture: &Fixture) {
    let session = fixture.session().await;
    let entry = |name: &str, limit: u32| fixture.entry_as("k", name, Mode::Permits(limit));
    let (first, second, narrow, wide) = (entry("first", 3), entry("second", 3), entry("narrow", 2), entry("wide", 4));
    hold(&session, &first).await;
    hold(&session, &second).await;
    queue(&session, &narrow).await;
    // Three are ahead of it, and it allows four.
    hold(&session, &wide).await;
    // As many as it allows are ahead.
    assert!(matches!(attempt(&session, &entry("refused", 4)).await, Entered::Busy(_)));
    leave(&session, &first).await;
    turn(&session, &narrow).await.unwrap();
    for entry in [second, narrow, wide] {
        leave(&session, &entry).await;
    }
    fixture.is_free("k").await;
}

async fn never_more_hold_than_there_are_permits(fixture: &Fixture) {
    let most = many(fixture, &[Mode::Permits(3)]).await;
    assert!(most > 1, "nobody held beside another");
}
