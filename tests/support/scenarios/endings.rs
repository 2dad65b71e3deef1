//! However a body ends, nothing of it stays in the store.

#![expect(missing_docs, reason = "the name of a scenario is what it shows")]

use std::time::{Duration, Instant};

use super::{
    acquire_and_release, behind_proxy, client, connect, granted, holding, nothing_is_left, patient, queued, worker,
};
use crate::cases::{Fixture, Program};
use crate::child::Child;
use crate::proxy::Mode;
use crate::{HANG_LIMIT, Server, once_within};

/// Runs the worker, whose `main` ends right after the call, to its end: nothing is left then.
fn run_to_its_end<P: Program>(fixture: &Fixture<P>, how: &str) -> Child {
    let (server, key) = (fixture.server(), fixture.key(how));
    let mut worker = worker(&["ends", how, &patient(&server.url()), &key]);
    worker.next_line("start");
    let status = worker.wait();
    assert_eq!(status.success(), how != "panic", "{status}");
    assert_eq!(server.left(&key), [""; 0]);
    worker
}

pub async fn nothing_is_left_after_return<P: Program>(fixture: Fixture<P>) {
    run_to_its_end(&fixture, "return");
}

pub async fn nothing_is_left_after_panic<P: Program>(fixture: Fixture<P>) {
    let worker = run_to_its_end(&fixture, "panic");
    assert!(worker.stderr().contains("panicked"), "{}", worker.stderr());
}

pub async fn nothing_is_left_after_drop<P: Program>(fixture: Fixture<P>) {
    run_to_its_end(&fixture, "drop");
}

/// The call is dropped by `main`, or by the runtime with its task, and `main` returns, without `close`: ten times, because the process may end in the middle of it.
pub async fn nothing_is_left_when_main_returns_after_a_drop<P: Program>(fixture: Fixture<P>) {
    for how in ["abandon", "spawned"].repeat(10) {
        run_to_its_end(&fixture, how);
    }
}

/// To other programs by the record in the store, and to ours by `inspect`.
pub async fn the_holder_shows_while_it_runs<P: Program>(fixture: Fixture<P>) {
    let (server, key) = (fixture.server(), fixture.key("shows"));
    let (worker, _) = holding(10, &server.url(), &key);
    let record = server.record(&key);
    assert!(record.contains("worker::hold") && record.contains(&format!("\"pid\":{}", worker.id())), "{record}");
    let lapse = server.lapse(&key);
    assert!(lapse <= P::Server::lapses_after(Duration::from_secs(10)) && !lapse.is_zero(), "{lapse:?}");
    let line = client(&fixture).inspect(&key).await.unwrap().unwrap();
    assert_eq!((line.holders.len(), line.holders[0].pid), (1, worker.id()));
    assert!(line.holders[0].origin.contains("worker/main.rs:"), "{}", line.holders[0].origin);
}

/// Every other TTL here is ten minutes, so it is none of these that the waiter has waited for.
pub async fn a_killed_holder_is_free_after_its_ttl<P: Program>(fixture: Fixture<P>) {
    const TTL: u64 = 15;
    let (server, key, other) = (fixture.server(), fixture.key("killed"), fixture.key("other"));
    let (mut short, _) = holding(TTL, &server.url(), &key);
    let (mut long, _) = holding(600, &server.url(), &other);
    let locks = connect(&server.url_with("ttl=600s"));
    assert!(locks.lock(&key).try_acquire().await.unwrap().is_none());
    let lapse = server.lapse(&key);
    assert!(lapse <= P::Server::lapses_after(Duration::from_secs(TTL)), "it would lapse only in {lapse:?}");
    let waiting = tokio::spawn(locks.lock(&key).acquire());
    queued(&locks, &key, 1).await;
    short.kill();
    long.kill();
    let guard = granted(waiting).await;
    assert!(locks.lock(&other).try_acquire().await.unwrap().is_none(), "free before its TTL");
    guard.release().await.unwrap();
    nothing_is_left(&*server, &key).await;
}

/// Where the store itself removes a waiter from the queue that is not renewed.
pub async fn a_killed_waiter_leaves_the_queue<P: Program>(fixture: Fixture<P>) {
    let (server, key, locks) = (fixture.server(), fixture.key("killed"), client(&fixture));
    let guard = locks.lock(&key).acquire().await.unwrap();
    let mut dying = worker(&["hold", "5", &patient(&server.url()), &key]);
    queued(&locks, &key, 1).await;
    let waiting = tokio::spawn(client(&fixture).lock(&key).acquire());
    queued(&locks, &key, 2).await;
    dying.kill();
    queued(&locks, &key, 1).await;
    guard.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
    nothing_is_left(&*server, &key).await;
}

/// If it dies before its turn, it may be granted the lock, but only for what is left of its own TTL: every other one here
/// is ten minutes.
pub async fn a_killed_waiter_is_passed_over<P: Program>(fixture: Fixture<P>) {
    let (server, key) = (fixture.server(), fixture.key("killed"));
    let (ours, theirs) = (connect(&server.url_with("ttl=600s")), connect(&server.url_with("ttl=600s")));
    let guard = ours.lock(&key).acquire().await.unwrap();
    let mut dying = worker(&["hold", "5", &patient(&server.url()), &key]);
    queued(&ours, &key, 1).await;
    let behind = tokio::spawn(theirs.lock(&key).acquire());
    queued(&ours, &key, 2).await;
    dying.kill();
    guard.release().await.unwrap();
    granted(behind).await.release().await.unwrap();
    nothing_is_left(&*server, &key).await;
}

pub async fn hold_at_least_survives_kill<P: Program>(fixture: Fixture<P>) {
    const LEAST: Duration = Duration::from_secs(6);
    let (server, key) = (fixture.server(), fixture.key("least"));
    let begun = Instant::now();
    let mut worker = worker(&["least", &patient(&server.url()), &key]);
    worker.next_line("start");
    let lapse = server.lapse(&key);
    assert!(lapse <= P::Server::lapses_after(LEAST), "it would lapse only in {lapse:?}");
    worker.kill();
    let guard = client(&fixture).lock(&key).wait(HANG_LIMIT).acquire().await.unwrap();
    // It began later than this clock.
    assert!(begun.elapsed() >= LEAST, "free after {:?}", begun.elapsed());
    guard.release().await.unwrap();
    nothing_is_left(&*server, &key).await;
}

/// The TTL is a minute, which nobody waits for: the process has ended, and so has the body.
pub async fn hold_at_least_ends_on_time_after_the_process<P: Program>(fixture: Fixture<P>) {
    const LEAST: Duration = Duration::from_secs(6);
    let (server, key) = (fixture.server(), fixture.key("brief"));
    let begun = Instant::now();
    let mut worker = worker(&["briefly", &patient(&server.url()), &key]);
    worker.next_line("start");
    assert!(worker.wait().success());
    if begun.elapsed() < LEAST {
        let lapse = server.lapse(&key);
        assert!(lapse <= P::Server::lapses_after(LEAST), "it would lapse only in {lapse:?}");
    }
    let guard = client(&fixture).lock(&key).wait(HANG_LIMIT).acquire().await.unwrap();
    assert!(begun.elapsed() >= LEAST, "free after {:?}", begun.elapsed());
    guard.release().await.unwrap();
    nothing_is_left(&*server, &key).await;
}

/// The network is silent when the body ends, and what the close sends may be carried out first after that.
pub async fn a_lock_that_lapses_stays_though_its_client_closes_in_a_silence<P: Program>(fixture: Fixture<P>) {
    const LEAST: Duration = Duration::from_secs(10);
    let server = fixture.server();
    // On a busy machine the close may end too late.
    once_within(LEAST, async || {
        let key = fixture.key("lapses");
        // Longer than the lock has to stay: nothing of it is anywhere but in the session, where a store has such a thing.
        let (proxy, locks) = behind_proxy(&*server, "ttl=30s").await;
        let begun = Instant::now();
        let guard = locks.lock(&key).hold_at_least(LEAST).acquire().await.unwrap();
        proxy.set(Mode::Silent);
        let silence = async {
            // Long enough for both requests to be under way.
            tokio::time::sleep(Duration::from_secs(1)).await;
            proxy.set(Mode::Pass);
        };
        let (_, (), ()) = tokio::join!(guard.release(), locks.close(), silence);
        let closed = begun.elapsed();
        acquire_and_release(&client(&fixture), &key).await;
        assert!(begun.elapsed() >= LEAST, "free after {:?}, closed after {closed:?}", begun.elapsed());
        closed
    })
    .await;
}
