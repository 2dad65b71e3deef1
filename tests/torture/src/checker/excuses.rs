//! When a body could not have been stopped in time: paused, blocked, or its lock taken away in the store.
//!
//! What a lock promises ends there, and the fence's work begins.

use super::Limits;
use super::spans::Span;
use super::story::{Call, Hold, Story};
use crate::clock::{Nanos, nanos};
use crate::history::Scope;

/// Why one body may be seen running although another holds the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Excuse {
    /// It cannot be stopped, and knew that it held nothing.
    Unstoppable,
    /// Its process or its runtime got no turn, and it stopped as soon as it did.
    Stalled,
    /// Its lease was revoked by somebody else, and it stopped when it had to know.
    Revoked,
    /// A leader that had been paused revoked its lease, and it stopped when it had to know.
    OldLeader,
}

/// Why `older` may be seen running although `newer` holds the lock, if it may.
pub(super) fn excuse(story: &Story, limits: &Limits, older: (&Call, &Hold), newer: &Hold) -> Option<Excuse> {
    let (call, hold) = older;
    let signs: Vec<Nanos> = signs_after(call, hold, newer.begun);
    let until = if call.stoppable { story.ran_until(call, hold) } else { signs.last().copied().unwrap_or(0) };
    if until <= newer.begun {
        return Some(Excuse::Unstoppable);
    }
    let stalled = |stall: &Span| {
        let late = signs.iter().filter(|sign| **sign > stall.to.min(until)).count();
        // It may be paused between the look at the clock and the poll: one poll, then it must stop.
        stall.from <= newer.begun && until <= stall.to + nanos(limits.grace) && late <= 1
    };
    if story.stalls(&call.by).iter().any(stalled) {
        return Some(Excuse::Stalled);
    }
    taken_away(story, limits, older, newer, until)
}

/// When the body ran, as far as the lock can be blamed: one that cannot be stopped asks, and is answered for.
fn signs_after(call: &Call, hold: &Hold, moment: Nanos) -> Vec<Nanos> {
    let beats = hold.beats.iter().filter(|(at, held)| *at >= moment && (call.stoppable || *held));
    beats.map(|(at, _)| *at).collect()
}

/// The store itself gave it to another, and the holder learns of it by its deadline.
fn taken_away(story: &Story, limits: &Limits, older: (&Call, &Hold), newer: &Hold, until: Nanos) -> Option<Excuse> {
    let (call, hold) = older;
    let excuses = story.faults.iter().filter_map(|fault| {
        let excuse = match &fault.scope {
            Scope::Revocation(process) if *process == call.by => Excuse::Revoked,
            Scope::OldLeader => Excuse::OldLeader,
            _ => return None,
        };
        let notice = fault.span.and(limits.ttl + limits.grace);
        // What was granted before it, or is passed on since, may begin a moment after it.
        let granted_before = hold.begun <= fault.span.and(limits.grace).to;
        let fits = granted_before && fault.span.from <= newer.begun && until <= notice.to;
        fits.then_some(excuse)
    });
    // Where both would do, a revocation is the likelier cause.
    excuses.min()
}
