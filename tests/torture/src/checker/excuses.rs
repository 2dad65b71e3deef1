//! When a body could not have been stopped in time: paused, blocked, or its lock taken away in the store.
//!
//! What a lock promises ends there, and the fence's work begins.

use super::Limits;
use super::spans::Span;
use super::story::{Call, Hold, Story};
use crate::clock::{Nanos, nanos};
use crate::history::Scope;

/// Whether `older` may be seen running although `newer` holds the lock.
pub(super) fn excused(story: &Story, limits: &Limits, older: (&Call, &Hold), newer: &Hold) -> bool {
    let (call, hold) = older;
    let signs: Vec<Nanos> = signs_after(call, hold, newer.begun);
    let until = if call.stoppable { story.ran_until(call, hold) } else { signs.last().copied().unwrap_or(0) };
    if until <= newer.begun {
        return true;
    }
    let stalled = |stall: &Span| {
        let late = signs.iter().filter(|sign| **sign > stall.to.min(until)).count();
        // It may be paused between the look at the clock and the poll: one poll, then it must stop.
        stall.from <= newer.begun && until <= stall.to + nanos(limits.grace) && late <= 1
    };
    story.stalls(&call.by).iter().any(stalled) || taken_away(story, limits, older, newer, until)
}

/// When the body ran, as far as the lock can be blamed: one that cannot be stopped asks, and is answered for.
fn signs_after(call: &Call, hold: &Hold, moment: Nanos) -> Vec<Nanos> {
    let beats = hold.beats.iter().filter(|(at, held)| *at >= moment && (call.stoppable || *held));
    beats.map(|(at, _)| *at).collect()
}

/// The store itself gave it to another, and the holder learns of it by its deadline.
fn taken_away(story: &Story, limits: &Limits, older: (&Call, &Hold), newer: &Hold, until: Nanos) -> bool {
    let (call, hold) = older;
    story.faults.iter().any(|fault| {
        let meant = match &fault.scope {
            Scope::Revocation(process) => *process == call.by,
            Scope::OldLeader => true,
            _ => false,
        };
        let notice = fault.span.and(limits.ttl + limits.grace);
        meant && hold.begun <= fault.span.to && fault.span.from <= newer.begun && until <= notice.to
    })
}
