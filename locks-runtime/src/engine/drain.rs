//! The end of a client that is stopped well: it takes nothing new, lets bodies end, stops the rest, and releases everything.
//!
//! The order is what matters. Everything is renewed while bodies end; each of them is stopped before its lock is released; and a
//! lock whose body still runs is not released at all, but renewed for as long as the process lives. Who releases it first has two
//! bodies under one lock.

use super::core::Engine;
use super::life::Phase;
use super::local;
use super::observe;
use super::queue::Stage;
use crate::values::end::EndReason;
use crate::values::local::{LocalLock, LocalState};
use crate::world::panic::with_contained_wakers;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long bodies have that are stopped: to be polled, and dropped.
const STOP_WITHIN: Duration = Duration::from_secs(1);

/// Drains the client, once for all who ask: the earliest end of their graces counts. Returns when it is done.
///
/// # Cancel safety
///
/// It goes on in the background.
pub(crate) async fn drain(engine: &Arc<Engine>, grace: Duration) {
    if engine.world.is_inherited() {
        return;
    }
    if engine.life.begin_drain(engine.world.now() + grace) {
        engine.world.spawn(run(Done(Arc::clone(engine)), grace));
    }
    with_contained_wakers(engine.life.drained()).await;
}

/// What a client that was drained has not released.
pub(crate) fn left(engine: &Engine) -> Vec<LocalLock> {
    let mut locks = local::locks(engine);
    locks.retain(|lock| !matches!(lock.state, LocalState::Waiting | LocalState::Lapsing));
    locks
}

/// Notes that the client is drained when it is dropped: whatever happens, nobody waits for ever.
struct Done(Arc<Engine>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.life.note_drained();
    }
}

async fn run(done: Done, grace: Duration) {
    let engine = &done.0;
    let begun = engine.world.now();
    let locks = local::locks(engine);
    let count = |states: &[LocalState]| locks.iter().filter(|lock| states.contains(&lock.state)).count();
    let held = count(&[LocalState::Held, LocalState::Overrunning]);
    observe::draining(held, count(&[LocalState::Waiting]), grace);
    tokio::select! {
        biased;
        () = engine.queues.until_none_is_left(|_| true) => {}
        () = engine.life.grace_is_over(&engine.world) => {}
    }
    engine.life.advance(Phase::Stopped);
    // What was handed off to a future that nobody polls is in the store, and no body has it.
    engine.queues.pass_over_all();
    let reason = if engine.life.phase() == Phase::Closed { EndReason::ClientClosed } else { EndReason::Drained };
    for session in engine.sessions.all() {
        session.held().iter().for_each(|held| drop(held.end(reason.clone())));
    }
    let _ = timeout(STOP_WITHIN, engine.queues.until_none_holds()).await;
    let mut running = engine.queues.members();
    running.retain(|member| matches!(member.progress().stage, Stage::Held(_)));
    let running: BTreeSet<_> = running.iter().map(|member| member.id).collect();
    // Each closes when nothing is in it any more, however long that takes.
    engine.sessions.retire();
    let released = async {
        engine.queues.until_none_is_left(|member| !running.contains(&member.id)).await;
        engine.sessions.unused_ones_end().await;
    };
    // What the store has not acknowledged by then is tried again for as long as the process lives, and lapses.
    let _ = timeout(engine.defaults.connect_timeout, released).await;
    observe::drained(&left(engine), engine.world.now().since(begun));
}
