//! The life of a session on the background thread: renewed until it is lost, idle or closed, then taken out of the store.

use super::active::ActiveSession;
use crate::contract::Backoff;
use crate::engine::held::HeldEntry;
use crate::engine::{observe, schedule};
use crate::values::end::{EndReason, Overdue};
use crate::values::error::{Error, ErrorKind};
use crate::world::clock::Moment;
use crate::world::panic::contained;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Renews the session until it is over, and then closes it in the store.
pub(super) async fn keep_alive(session: &Arc<ActiveSession>) {
    let ttl = session.session.ttl();
    let (mut sent, mut used) = (session.opened, session.opened);
    loop {
        if !session.is_done() {
            sleep_and_watch(session, sent + schedule::renew_after(&session.world, ttl)).await;
        }
        if session.loss().is_some() {
            break;
        }
        if !session.is_idle_since(&mut used, schedule::idle_limit(ttl)) {
            watch_removals(session);
            let begun = session.world.now();
            match renew(session).await {
                Some(at) => sent = at,
                None => break,
            }
            if session.world.now().since(begun) > schedule::slow_renewal(ttl) {
                // It has covered holds that began meanwhile, whose entries may be gone since then.
                watch_removals(session);
            }
        } else if session.close_if_unused() {
            session.lose(EndReason::Idle);
            break;
        }
    }
    let reason = session.loss().unwrap_or(EndReason::Overdue(Overdue::default()));
    observe::session_ended(session.world.now().since(session.opened), ttl, &reason);
    close(session, ttl).await;
}

/// Renews until the store has acknowledged it, or nobody needs it any more, and returns the moment at which that request
/// was sent; `None` if the session is lost before.
async fn renew(session: &ActiveSession) -> Option<Moment> {
    let ttl = session.session.ttl();
    let mut backoff = Backoff::new(&session.world, schedule::SHORTEST_PAUSE, ttl / 10);
    loop {
        let sent = session.begin_renewal();
        let renewed = contained(session.session.renew());
        let renewed = async { renewed.await.unwrap_or_else(|| Err(Error::store_panicked("renew"))) };
        let answer = within(session, session.time_left(), renewed).await;
        answer.iter().for_each(|answer| session.contact.note(sent, answer));
        match answer {
            Some(Ok(renewal)) => {
                session.renewed(sent, renewal);
                if session.pulse.renewed() {
                    observe::renewed_again();
                }
                return session.is_alive().then_some(sent);
            }
            Some(Err(error)) if error.kind() == ErrorKind::Lost => {
                // One that has lapsed, in a pause of the process say, is forgotten by the store, too.
                session
                    .loss()
                    .unwrap_or_else(|| session.lose(EndReason::SessionLost(error.chain().to_string().into())));
                return None;
            }
            Some(Err(error)) => {
                let left = session.time_left();
                observe::renewal_failed(&error, left, session.pulse.failed(&error));
                // What the store refuses now it will hardly permit within milliseconds.
                let shortest = if error.kind() == ErrorKind::Unavailable { Duration::ZERO } else { ttl / 12 };
                // Not beyond the deadline: the bodies are to be stopped then.
                sleep(session, backoff.pause().max(shortest).min(left)).await;
            }
            None => {}
        }
        if session.loss().is_some() {
            return None;
        }
        if session.is_done() {
            return Some(sent);
        }
    }
}

/// Sleeps until the session is woken, or `until`. Begins meanwhile to watch what the store wants to be watched sooner.
async fn sleep_and_watch(session: &Arc<ActiveSession>, until: Moment) {
    let step = session.session.watched_within();
    loop {
        let left = until.since(session.world.now());
        if sleep(session, left.min(step)).await || left <= step {
            return;
        }
        watch_removals(session);
    }
}

/// Sleeps until the session is woken, for `pause` at most; returns whether it was woken.
async fn sleep(session: &ActiveSession, pause: Duration) -> bool {
    session.pulse.runs(session.world.now(), pause);
    let woken = tokio::time::timeout(pause, session.wake.notified()).await;
    session.pulse.runs(session.world.now(), Duration::ZERO);
    woken.is_ok()
}

/// Waits for `request`, for `limit` at most, and notes all the while that the process runs.
async fn within<T>(session: &ActiveSession, limit: Duration, request: impl Future<Output = T>) -> Option<T> {
    let mut request = pin!(request);
    let step = session.session.ttl() / 20;
    let until = session.world.now() + limit;
    loop {
        let now = session.world.now();
        let pause = until.since(now).min(step);
        session.pulse.runs(now, pause);
        let answered = tokio::time::timeout(pause, request.as_mut()).await;
        session.pulse.runs(session.world.now(), Duration::ZERO);
        match answered {
            Ok(answer) => return Some(answer),
            Err(_) if session.world.now() >= until => return None,
            Err(_) => {}
        }
    }
}

/// Begins to watch the entries that have been held until now.
fn watch_removals(session: &Arc<ActiveSession>) {
    for held in session.take_unwatched() {
        session.world.spawn(watch_removal(Arc::clone(session), held));
    }
}

/// Watches the store for the removal of the entry by another client, for as long as it is held.
async fn watch_removal(session: Arc<ActiveSession>, held: Arc<HeldEntry>) {
    let removed = session.session.removed(Arc::clone(&held.entry));
    let reason = tokio::select! {
        biased;
        _ = held.ended() => return,
        reason = session.lost() => reason,
        Err(error) = removed => EndReason::EntryRemoved(error.chain().to_string().into()),
    };
    // An entry that has lapsed, at its own deadline or at the session's, is removed by the store, too.
    let now = session.world.now();
    if held.end_at(now).is_none() {
        held.end(session.loss_at(now).unwrap_or(reason));
    }
}

/// Tries to close a session that is over, so that its locks need not wait for it to lapse.
///
/// Its bodies are stopped first. One that does not await cannot be, and gets no less time than a lapse would give.
async fn close(session: &ActiveSession, ttl: Duration) {
    let _ = tokio::time::timeout(schedule::reserve(ttl), session.unused()).await;
    let mut backoff = Backoff::new(&session.world, schedule::SHORTEST_PAUSE * 10, ttl);
    for _ in 1..=5 {
        let closed = contained(session.session.close()).await;
        match closed.unwrap_or_else(|| Err(Error::store_panicked("close"))) {
            Err(error) if error.kind() == ErrorKind::Unavailable => backoff.wait().await,
            _ => return,
        }
    }
}
