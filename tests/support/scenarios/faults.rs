//! What goes wrong while a lock is wanted, held or released.

#![expect(missing_docs, reason = "the name of a scenario is what it shows")]

use std::time::{Duration, Instant};

use distributed_locks::{ErrorKind, Locks};

use super::{
    acquire_and_release, behind_proxy, client, connect, held, holding, lost, nothing_is_left, something_is_there,
};
use crate::cases::{Fixture, Program};
use crate::proxy::Mode;
use crate::{HANG_LIMIT, Server, once_within};

/// In seconds. A renewal is due after ten.
pub const TTL: u64 = 30;

/// Between the next renewal and the end of the [`TTL`]: a loss that is reported sooner was noticed by a renewal at the
/// latest.
pub const BEFORE_THE_END: Duration = Duration::from_secs(20);

pub async fn a_deleted_entry_stops_the_body<P: Program>(fixture: Fixture<P>) {
    let (server, locks) = (fixture.server(), client(&fixture));
    once_within(BEFORE_THE_END, async || {
        let key = fixture.key("deleted");
        let body = held(&locks, &key, TTL).await;
        let begun = Instant::now();
        server.delete(&key);
        let error = lost(body).await;
        let took = begun.elapsed();
        assert!(took > BEFORE_THE_END || error.to_string().contains(P::Server::DELETED), "{error}");
        // The client still works.
        acquire_and_release(&locks, &key).await;
        nothing_is_left(&*server, &key).await;
        took
    })
    .await;
}

/// As [`a_deleted_entry_stops_the_body`], by what `end` does to the body's whole session.
pub async fn the_next_renewal_stops_the_body<S: Server>(server: &S, end: impl Fn(&S, &str)) {
    let locks = connect(&server.url());
    let key = |round: u32| format!("/renewed/{round}");
    let mut round = 0;
    once_within(BEFORE_THE_END, async || {
        round += 1;
        let body = held(&locks, &key(round), TTL).await;
        let begun = Instant::now();
        end(server, &key(round));
        lost(body).await;
        let took = begun.elapsed();
        // The client has a new session.
        acquire_and_release(&locks, &key(round)).await;
        took
    })
    .await;
}

/// A TTL so long that an entry that is gone within the hang limit was withdrawn, and has not lapsed. Of a few renewals
/// each tries again to withdraw what is left.
const WITHDRAWN: &str = "ttl=90s&connect_timeout=6s";

pub async fn a_lost_answer_to_an_acquire_leaves_nothing<P: Program>(fixture: Fixture<P>) {
    let (server, keys) = (fixture.server(), fixture.key("k"));
    let key = format!("{keys}/2");
    let (proxy, locks) = behind_proxy(&*server, WITHDRAWN).await;
    // In ZooKeeper it makes the lock's own node, and in MariaDB its row: the next request is then the one that matters.
    acquire_and_release(&locks, &key).await;
    proxy.set(Mode::Unanswered);
    not_answered(&locks, &key).await;
    something_is_there(&*server, &key).await;
    proxy.set(Mode::Refuse);
    proxy.set(Mode::Pass);
    nothing_is_left(&*server, &key).await;
    client(&fixture).lock(&key).try_acquire().await.unwrap().unwrap().release().await.unwrap();
    // With a wait: the answer to the withdrawal may still be on its way.
    acquire_and_release(&locks, &key).await;
}

/// The request is on its way, but arrives after its sender has timed out.
pub async fn a_late_request_is_withdrawn<P: Program>(fixture: Fixture<P>) {
    let (server, key) = (fixture.server(), fixture.key("k"));
    let (proxy, locks) = behind_proxy(&*server, WITHDRAWN).await;
    let other = locks.lock(fixture.key("other")).acquire().await.unwrap();
    proxy.set(Mode::Silent);
    not_answered(&locks, &key).await;
    proxy.set(Mode::Pass);
    // On the connection on which the late request was.
    acquire_and_release(&locks, &key).await;
    acquire_and_release(&client(&fixture), &key).await;
    other.check().unwrap();
    other.release().await.unwrap();
    nothing_is_left(&*server, &key).await;
}

/// The request has been sent and not been answered. It is less than what an attempt may take.
async fn not_answered(locks: &Locks, key: &str) {
    let error = locks.lock(key).wait(Duration::from_millis(1500)).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

pub async fn dropped_acquires_leave_nothing<P: Program>(fixture: Fixture<P>) {
    const ACQUIRES: u32 = 50;
    let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    acquire_and_release(&locks, &format!("{key}/warm")).await;
    let begun = Instant::now();
    let guard = locks.lock(format!("{key}/answered")).acquire().await.unwrap();
    let acquired = begun.elapsed();
    guard.release().await.unwrap();
    for number in 0..ACQUIRES {
        // From "nothing was sent" to "the answer is there".
        let limit = acquired * 2 * number / ACQUIRES;
        let acquiring = locks.lock(format!("{key}/{number}")).acquire();
        drop(tokio::time::timeout(limit, acquiring).await);
    }
    nothing_is_left(&*server, &key).await;
}

pub async fn a_paused_process_stops_on_resume<P: Program>(fixture: Fixture<P>) {
    let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    let (mut worker, fence) = holding(2, &server.url(), &key);
    worker.pause();
    let guard = locks.lock(&key).wait(HANG_LIMIT).acquire().await.unwrap();
    assert!(fence < guard.fence().to_u64(), "{fence} and then {:?}", guard.fence());
    worker.resume();
    // Its body would run for ever.
    worker.next_line("end");
    let refused = worker.next_line("refused");
    assert!(refused.contains("Lost") && refused.contains("the process was paused"), "{refused}");
    guard.check().unwrap();
    guard.release().await.unwrap();
}
