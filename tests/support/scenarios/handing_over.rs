//! A lock that one process acquires and another releases.

use super::{acquire_and_release, client, granted, nothing_is_left, queued, worker};
use crate::Server;
use crate::cases::{Fixture, Program};
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
