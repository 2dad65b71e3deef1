//! The times in which a fault explains that a call waits.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Limits;
use super::history::History;
use super::spans::{Span, Timeline};
use crate::history::Scope;

/// The times in which a fault that affects one of these processes, or the store, or its aftermath was in effect.
pub(super) fn explained(history: &History, limits: &Limits, processes: &BTreeSet<&str>) -> Timeline<()> {
    let worker = |process: &String, aftermath: Duration| processes.contains(process.as_str()).then_some(aftermath);
    let faults = history.faults.iter().filter_map(|fault| {
        let aftermath = match &fault.scope {
            Scope::Store | Scope::OldLeader => Some(limits.ttl + limits.store_recovery),
            Scope::Worker(process) => worker(process, limits.ttl + limits.worker_recovery),
            Scope::Revocation(process) => worker(process, limits.ttl + limits.moment),
            Scope::Load => Some(limits.moment),
            // A moment in another fault, and what `of_lock` is for.
            Scope::Forgotten(_) | Scope::Lock(_) => None,
        };
        Some(fault.span.extended(aftermath?))
    });
    // A stall of a process that is no worker is one of the whole machine.
    let stalls =
        history.processes.iter().filter(|(name, process)| processes.contains(name.as_str()) || process.pid == 0);
    let stalls = stalls.flat_map(|(_, process)| &process.stalls).map(|stall| {
        let may_lapse = stall.length() * 2 > limits.ttl;
        stall.extended(if may_lapse { limits.ttl + limits.worker_recovery } else { limits.moment })
    });
    faults.chain(stalls).map(|span| (span, ())).collect()
}

/// The times in which a fault that affects this lock alone, or its aftermath, was in effect.
pub(super) fn of_lock(history: &History, limits: &Limits, key: &str) -> Timeline<()> {
    let faults = history.faults.iter().filter(|fault| matches!(&fault.scope, Scope::Lock(lock) if lock == key));
    faults.map(|fault| (fault.span.extended(limits.ttl + limits.store_recovery), ())).collect()
}

/// The processes that ever requested this lock.
pub(super) fn involved<'a>(history: &'a History, key: &str) -> BTreeSet<&'a str> {
    let ours = history.calls.iter().filter(|call| call.key == key).map(|call| call.process.as_str());
    ours.chain(history.foreign.processes(key)).collect()
}

/// The windows that overlap `span`.
pub(super) fn within(explained: &Timeline<()>, span: Span) -> impl Iterator<Item = Span> {
    explained.overlapping(span).map(|(window, ())| *window)
}
