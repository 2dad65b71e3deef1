//! The times in which a fault explains that somebody waits.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Limits;
use super::spans::{Span, Timeline};
use super::story::Story;
use crate::history::Scope;

/// The times in which a fault that touches one of these processes, or the store, was in force or had its aftermath.
pub(super) fn explained(story: &Story, limits: &Limits, processes: &BTreeSet<&str>) -> Timeline<()> {
    let worker = |process: &String, aftermath: Duration| processes.contains(process.as_str()).then_some(aftermath);
    let faults = story.faults.iter().filter_map(|fault| {
        let aftermath = match &fault.scope {
            Scope::Store | Scope::OldLeader => Some(limits.ttl + limits.store_recovery),
            Scope::Worker(process) => worker(process, limits.ttl + limits.worker_recovery),
            Scope::Revocation(process) => worker(process, limits.ttl + limits.moment),
            Scope::Load => Some(limits.moment),
        };
        Some(fault.span.and(aftermath?))
    });
    // The machine stands still for all if it does for those who only look on.
    let stalls = story.processes.iter().filter(|(name, process)| processes.contains(name.as_str()) || process.pid == 0);
    let stalls = stalls.flat_map(|(_, process)| &process.stalls).map(|stall| {
        let lost = stall.length() * 2 > limits.ttl;
        stall.and(if lost { limits.ttl + limits.worker_recovery } else { limits.moment })
    });
    faults.chain(stalls).map(|span| (span, ())).collect()
}

/// The processes that ever asked for this lock.
pub(super) fn involved<'a>(story: &'a Story, key: &str) -> BTreeSet<&'a str> {
    story.calls.iter().filter(|call| call.key == key).map(|call| call.by.as_str()).collect()
}

/// What of `span` is explained.
pub(super) fn within(explained: &Timeline<()>, span: Span) -> impl Iterator<Item = Span> {
    explained.meeting(span).map(|(window, ())| *window)
}
