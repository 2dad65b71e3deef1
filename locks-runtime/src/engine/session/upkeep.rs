//! The life of a session on the background thread: renewed until it is lost, idle or closed, then taken out of the store.

use super::active::ActiveSession;
use crate::contract::Backoff;
use crate::engine::held::HeldEntry;
use crate::engine::{observe, schedule};
use crate::values::end::EndReason;
use crate::values::error::{Error, ErrorKind};
use crate::world::clock::Moment;
use crate::world::panic::{contain, contained};
use std::sync::Arc;
use std::time::Duration;

/// Renews the session until it is over, and then closes it in the store.
pub(super) async fn keep_alive(session: &Arc<ActiveSession>) {
    let ttl = session.session.ttl();
    let (mut sent, mut used) = (session.opened, session.opened);
    loop {
        if !session.is_done() {
            let pause = (sent + schedule::renew_after(&session.world, ttl)).since(session.world.now());
            let _ = tokio::time::timeout(pause, session.wake.notified()).await;
        }
        if session.loss().is_some() {
            break;
        }
        if !session.is_idle_since(&mut used, schedule::idle_limit(ttl)) {
            watch_removals(session);
            match renew(session).await {
                Some(at) => sent = at,
                None => break,
            }
        } else if session.close_if_unused() {
            session.lose(EndReason::Idle);
            break;
        }
    }
    let reason = session.loss().unwrap_or(EndReason::Overdue);
    contain(|| observe::session_ended(session.world.now().since(session.opened), ttl, &reason));
    close(session, ttl).await;
}

/// Renews until the store has acknowledged it, or nobody needs it any more, and returns the moment at which that request
/// was sent; `None` if the session is lost before.
async fn renew(session: &ActiveSession) -> Option<Moment> {
    let mut backoff = Backoff::new(&session.world, schedule::SHORTEST_PAUSE, session.session.ttl() / 10);
    loop {
        let sent = session.world.now();
        let renewed = contained(session.session.renew());
        let renewed = async { renewed.await.unwrap_or_else(|| Err(panicked("renew"))) };
        match tokio::time::timeout(session.time_left(), renewed).await {
            Ok(Ok(renewal)) => {
                session.renewed(sent, renewal);
                return session.is_alive().then_some(sent);
            }
            Ok(Err(error)) if error.kind() == ErrorKind::Lost => {
                session.lose(EndReason::SessionLost(error.to_string().into()));
                return None;
            }
            Ok(Err(error)) => {
                let left = session.time_left();
                contain(|| observe::renewal_failed(&error, left));
                // Not beyond the deadline: the bodies are to be stopped then.
                let _ = tokio::time::timeout(backoff.pause().min(left), session.wake.notified()).await;
            }
            Err(_) => {}
        }
        if session.loss().is_some() {
            return None;
        }
        if session.is_done() {
            return Some(sent);
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
        Err(error) = removed => EndReason::EntryRemoved(error.to_string().into()),
    };
    // An entry that has lapsed at its own deadline is removed by the store, too.
    if held.end_at(session.world.now()).is_none() {
        held.end(reason);
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
        match closed.unwrap_or_else(|| Err(panicked("close"))) {
            Err(error) if error.kind() == ErrorKind::Unavailable => backoff.wait().await,
            _ => return,
        }
    }
}

fn panicked(step: &str) -> Error {
    Error::unavailable(format!("the store's `{step}` panicked; this is a bug worth reporting"))
}
