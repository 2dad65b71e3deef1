//! What a client has asked for and not released: from its queues, and from its sessions.

use super::core::Engine;
use super::held::HeldEntry;
use super::queue::{Member, Stage};
use crate::values::local::{LocalLock, LocalState};
use crate::world::clock::Moment;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A hold, and until when its session can be proved.
type Holds = HashMap<u64, (Arc<HeldEntry>, Duration)>;

/// Every lock that the client holds, waits for or releases, in the order in which they were asked for. It asks the store nothing.
pub(crate) fn locks(engine: &Engine) -> Vec<LocalLock> {
    let members = engine.queues.members();
    let now = engine.world.now();
    let holds = holds(engine, now);
    members.iter().map(|member| of(member, holds.get(&member.request.holder.id), now)).collect()
}

/// The holds of all sessions, by the requests that they are of.
fn holds(engine: &Engine, now: Moment) -> Holds {
    let mut holds = Holds::new();
    for session in engine.sessions.all() {
        let left = session.proved_for(now);
        holds.extend(session.held().into_iter().map(|held| (held.request.holder.id, (held, left))));
    }
    holds
}

fn of(member: &Member, hold: Option<&(Arc<HeldEntry>, Duration)>, now: Moment) -> LocalLock {
    let request = &member.request;
    let stage = member.progress().stage;
    let time_left = hold.map_or(Duration::ZERO, |(held, left)| held.time_left(now, *left));
    let (state, since) = match stage {
        Stage::Waiting | Stage::Asking | Stage::Queued => (LocalState::Waiting, request.begun),
        Stage::Held(_) if !member.has_begun() => (LocalState::Waiting, request.begun),
        Stage::Held(since) => {
            let since = hold.map_or(since, |(held, _)| held.acquired);
            (if time_left.is_zero() { LocalState::Overrunning } else { LocalState::Held }, since)
        }
        Stage::Lapsing { since, .. } => (LocalState::Lapsing, since),
        Stage::Leaving => (LocalState::Releasing, request.begun),
    };
    LocalLock {
        keys: request.keys().cloned().collect(),
        state,
        mode: request.options.mode,
        name: request.holder.name.clone(),
        origin: request.holder.origin.clone(),
        fence: hold.map(|(held, _)| held.fence),
        lasted: now.since(since),
        time_left: hold.map(|_| time_left),
    }
}
