//! When two bodies may be seen running under one lock: the older one could not have been stopped in time, because it was
//! paused, or blocked, or because the store gave its lock to another.
//!
//! That is where the promise of a lock ends, and where the fence is needed.

use std::time::Duration;

use super::Limits;
use super::call::{Call, Hold};
use super::history::History;
use super::spans::{Span, in_one};
use crate::clock::{Nanos, nanos};
use crate::history::Scope;

/// The longest that one poll of a body takes here, in which it may be seen more than once.
const POLL: Duration = Duration::from_millis(2);

/// Why a body may be seen running although another one holds the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Excuse {
    /// It cannot be stopped, and its lock reported that it was lost.
    Unstoppable,
    /// Its process or its runtime was not scheduled, and it stopped as soon as it was.
    Stalled,
    /// Its lease was revoked by somebody else, and it stopped within the time in which it had to notice.
    Revoked,
    /// A leader that had been paused revoked its lease, and it stopped within the time in which it had to notice.
    OldLeader,
    /// The store had forgotten its hold, and it stopped within the time in which it had to notice.
    Forgotten,
    /// A client of another project may have lost its lock, which it does not notice, or not in time.
    ForeignLapsed,
}

/// Why `older` may be seen running although `newer` holds the lock, if it may.
pub(super) fn excuse(history: &History, limits: &Limits, older: (&Call, &Hold), newer: &Hold) -> Option<Excuse> {
    let (call, hold) = older;
    let heartbeats: Vec<Nanos> = heartbeats_after(call, hold, newer.begun);
    let until = if call.stoppable { history.ran_until(call, hold) } else { heartbeats.last().copied().unwrap_or(0) };
    if until <= newer.begun {
        return Some(Excuse::Unstoppable);
    }
    let stalled = |stall: &Span| {
        let mut late = heartbeats.iter().filter(|at| **at > stall.to.min(until));
        // The pause may have come between the look at the clock and the poll: one poll is allowed after it.
        let is_one_poll = late.next().is_none_or(|first| late.all(|at| at - first < nanos(POLL)));
        stall.from <= newer.begun && until <= stall.to + nanos(limits.grace) && is_one_poll
    };
    if in_one(history.stalls(&call.process)).iter().any(stalled) {
        return Some(Excuse::Stalled);
    }
    revoked(history, limits, older, newer, until)
}

/// The heartbeats that count against the lock: of a body that cannot be stopped only those with a lock that reported
/// that it was held.
fn heartbeats_after(call: &Call, hold: &Hold, moment: Nanos) -> Vec<Nanos> {
    let counted = hold.heartbeats.iter().filter(|(at, held)| *at >= moment && (call.stoppable || *held));
    counted.map(|(at, _)| *at).collect()
}

/// The store itself gave the lock to another client; the holder notices it by its deadline.
fn revoked(history: &History, limits: &Limits, older: (&Call, &Hold), newer: &Hold, until: Nanos) -> Option<Excuse> {
    let (call, hold) = older;
    let ttl = limits.ttl.max(Duration::from_millis(call.options.ttl_ms.unwrap_or(0)));
    let excuses = history.faults.iter().filter_map(|fault| {
        let (excuse, noticed_within) = match &fault.scope {
            Scope::Revocation(process) if *process == call.process => (Excuse::Revoked, ttl),
            Scope::OldLeader => (Excuse::OldLeader, ttl),
            Scope::Forgotten(millis) | Scope::FormerPrimary(millis) => {
                // By its deadline, which is a later one if its TTL is longer.
                let by_deadline = ttl.max(Duration::from_millis(*millis));
                (Excuse::Forgotten, fault.files_deleted(limits).unwrap_or(by_deadline))
            }
            _ => return None,
        };
        let span = fault.carried_out();
        let notice = span.extended(noticed_within + limits.grace);
        // A hold that was granted before the revocation, or handed off since, may begin a moment after it, or after a pause
        // that began before.
        let paused = history.stalls(&call.process).iter().filter(|stall| stall.from <= span.to);
        let resumed = paused.map(|stall| stall.to).max().unwrap_or(0).max(span.to);
        let granted_before = hold.begun <= resumed.saturating_add(nanos(limits.grace));
        // One that is not scheduled when it has to notice does so as soon as it is.
        let late = history.stalls(&call.process).iter().find(|stall| stall.from <= notice.to && notice.to < stall.to);
        let noticed_by = late.map_or(notice.to, |stall| stall.to.saturating_add(nanos(limits.grace)));
        // What a former primary has granted is the newer one.
        let is_of_former =
            matches!(fault.scope, Scope::FormerPrimary(_)) && newer.begun <= span.extended(limits.grace).to;
        let ends = until <= noticed_by || is_of_former && newer.last_seen() <= notice.to;
        let fits = granted_before && span.from <= newer.begun && ends;
        fits.then_some(excuse)
    });
    // Where both are possible, a revocation is more likely.
    excuses.min()
}
