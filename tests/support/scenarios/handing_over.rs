//! A lock that one process acquires and another releases.

use std::time::Duration;

use tokio::time::sleep;

use super::{acquire_and_release, behind_proxy, client, granted, nothing_is_left, queued, worker};
use crate::Server;
use crate::cases::{Fixture, Program};
use crate::proxy::Mode;
use distributed_locks::ErrorKind;

/// The giver is killed as soon as it has its ticket, and a worker process goes on.
pub async fn a_worker_goes_on_though_the_giver_is_killed<P: Program>(fixture: Fixture<P>) {
    let (server, key) = (fixture.server(), fixture.key("handed"));
    let mut giver = worker(&["detaches", "60", &server.url(), &key]);
    let line = giver.next_line("ticket ");
    let (fence, ticket) = line.split_once(' ').unwrap();
    giver.kill();
    let locks = client(&fixture);
    let waiting = tokio::spawn(locks.lock(&key).acquire());
    queued(&locks, &key, 1).await;
    let mut taker = worker(&["adopts", &server.url(), ticket]);
    let greater = taker.next_line("adopted ");
    let number = |fence: &str| fence.parse::<u64>().unwrap();
    assert!(number(&greater) > number(fence), "{greater} after {fence}");
    let line = locks.inspect(&key).await.unwrap().unwrap();
    assert_eq!((line.holders.len(), line.holders[0].pid, line.waiters.len()), (1, taker.id(), 1), "{line:?}");
    assert!(!waiting.is_finished(), "somebody got in between");

    // One of two processes that have the ticket goes on.
    let mut late = worker(&["adopts", &server.url(), ticket]);
    assert!(late.next_line("refused ").starts_with("Lost"));
    taker.kill();
    let next = granted(waiting).await;
    assert!(next.fence().to_u64() > number(&greater));
    next.release().await.unwrap();
    assert_eq!(server.left(&key), [""; 0]);
}

/// A giver that is killed while its ticket is on its way to nobody: the lock is free after the ticket's time, and not before.
pub async fn a_ticket_lapses_though_its_giver_is_dead<P: Program>(fixture: Fixture<P>) {
    let (server, key) = (fixture.server(), fixture.key("abandoned"));
    let mut giver = worker(&["detaches", "4", &server.url(), &key]);
    let line = giver.next_line("ticket ");
    let (_, ticket) = line.split_once(' ').unwrap();
    giver.kill();
    let locks = client(&fixture);
    acquire_and_release(&locks, &key).await;
    let ticket: distributed_locks::Ticket = ticket.parse().unwrap();
    let error = locks.adopt(&ticket).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Lost && error.to_string().contains("lapsed"), "{error}");
    nothing_is_left(&*server, &key).await;
}

/// Connections are reset after so many bytes of answers: what was asked for may have happened. Asked again, it is the same hand-over.
pub async fn lost_answers_hand_over_once<P: Program>(fixture: Fixture<P>) {
    const OUTAGE: Duration = Duration::from_millis(50);
    let (server, key) = (fixture.server(), fixture.key("once"));
    let (proxy, locks) = behind_proxy(&*server, "").await;
    let outage = async |bytes| {
        proxy.set(Mode::CutAnswers(bytes));
        sleep(OUTAGE).await;
        proxy.set(Mode::Pass);
    };
    for bytes in [0, 1, 60, 150, 400] {
        let guard = locks.lock(&key).acquire().await.unwrap();
        let first = guard.fence();
        let (ticket, ()) = tokio::join!(guard.detach(Duration::from_secs(60)), outage(bytes));
        let ticket = ticket.unwrap_or_else(|error| panic!("handed over, {bytes} bytes: {error}"));
        let line = client(&fixture).inspect(&key).await.unwrap().unwrap();
        assert_eq!(line.holders.len(), 1, "{bytes} bytes: {line:?}");
        let (guard, ()) = tokio::join!(locks.adopt(&ticket), outage(bytes));
        let guard = guard.unwrap_or_else(|error| panic!("adopted, {bytes} bytes: {error}"));
        assert!(guard.fence() > first, "{bytes} bytes: {} after {first}", guard.fence());
        assert_eq!(client(&fixture).adopt(&ticket).await.unwrap_err().kind(), ErrorKind::Lost, "{bytes} bytes");
        guard.check().unwrap();
        guard.release().await.unwrap();
    }
    nothing_is_left(&*server, &key).await;
}
