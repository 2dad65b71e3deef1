//! How a client is, without a request.

use super::core::Engine;
use super::local;
use super::session::ActiveSession;
use crate::values::local::LocalState;
use crate::values::status::{SessionStatus, Status};
use crate::world::clock::Moment;
use std::sync::Arc;

pub(crate) fn status(engine: &Engine) -> Status {
    let now = engine.world.now();
    let last = engine.sessions.contact().last();
    let sessions = engine.sessions.all();
    let locks = local::locks(engine);
    let count = |state| locks.iter().filter(|lock| lock.state == state).count();
    // A renewal that has no answer yet fails only when its time is up.
    let is_late = sessions.iter().any(|session| session.is_late(now));
    // Without a session nobody asks again: then it says nothing any more about the store of today.
    let failure = last.failure.filter(|(at, _)| !sessions.is_empty() || now.since(*at) < engine.defaults.ttl);
    let is_known = last.answered.is_some() || failure.is_some();
    Status {
        store: engine.defaults.endpoint.clone(),
        is_open: engine.life.is_open(),
        is_reachable: is_known.then_some(failure.is_none() && !is_late),
        last_answer: last.answered.map(|answered| now.since(answered)),
        failure: failure.map(|(_, failure)| failure.to_string()),
        sessions: sessions.iter().map(|session| of(session, now)).collect(),
        held: count(LocalState::Held),
        waiting: count(LocalState::Waiting),
    }
}

fn of(session: &Arc<ActiveSession>, now: Moment) -> SessionStatus {
    SessionStatus { ttl: session.session.ttl(), time_left: session.proved_for(now), held: session.holds() }
}
