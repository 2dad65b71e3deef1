//! The times in which a fault explains that a call waits.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Limits;
use super::history::{CHILD, History, worker_of};
use super::spans::{Span, Timeline};
use crate::history::Scope;

/// The times in which a fault that affects one of these processes, or the store, or its aftermath was in effect: for calls
/// that wait for this lock.
pub(super) fn explained(history: &History, limits: &Limits, key: &str, processes: &BTreeSet<&str>) -> Timeline<()> {
    timeline(of_faults(history, limits, key, processes, |_| true))
}

/// As [`explained`], for what is in the store: a store that is full renews and removes it as before.
pub(super) fn explained_for_entries(
    history: &History,
    limits: &Limits,
    key: &str,
    processes: &BTreeSet<&str>,
) -> Timeline<()> {
    timeline(of_faults(history, limits, key, processes, is_for_entries))
}

/// As [`explained_for_entries`], for those of a process that may be dead: its own faults explain them only while it lives, and
/// what a dead one had lapses after a TTL.
pub(super) fn explained_for_entries_of(history: &History, limits: &Limits, key: &str, process: &str) -> Timeline<()> {
    let mut explained = of_faults(history, limits, key, &BTreeSet::from([process]), is_for_entries);
    if let Some(died) = history.died(process) {
        explained.retain(|span| span.from < died);
        explained.iter_mut().for_each(|span| span.to = span.to.min(died));
        explained.extend(of_faults(history, limits, key, &BTreeSet::new(), is_for_entries));
    }
    timeline(explained)
}

fn is_for_entries(scope: &Scope) -> bool {
    *scope != Scope::Full
}

fn timeline(spans: Vec<Span>) -> Timeline<()> {
    spans.into_iter().map(|span| (span, ())).collect()
}

fn of_faults(
    history: &History,
    limits: &Limits,
    key: &str,
    processes: &BTreeSet<&str>,
    counts: fn(&Scope) -> bool,
) -> Vec<Span> {
    let lasting = |span: Span, process: &str| {
        history.longest_ttl(key, span, limits.ttl, |name| process.is_empty() || is_meant_by(name, process))
    };
    let worker = |process: &str, span: Span, recovery: Duration| {
        let is_meant = processes.iter().any(|name| is_meant_by(name, process));
        is_meant.then(|| lasting(span, process) + recovery)
    };
    let faults = history.faults.iter().filter(|fault| counts(&fault.scope)).filter_map(|fault| {
        let aftermath = match &fault.scope {
            Scope::Store | Scope::Impostor | Scope::OldLeader => Some(lasting(fault.span, "") + limits.store_recovery),
            Scope::Worker(process) | Scope::Route(process) => worker(process, fault.span, limits.worker_recovery),
            Scope::Revocation(process) => worker(process, fault.span, limits.moment),
            Scope::Load => Some(limits.moment),
            Scope::Lock(lock) => (lock == key).then(|| lasting(fault.span, "") + limits.store_recovery),
            Scope::Full => Some(limits.worker_recovery),
            // A moment in another fault.
            Scope::Forgotten(_) | Scope::FormerPrimary(_) => None,
        };
        Some(fault.span.extended(aftermath?))
    });
    // A stall of a process that is no worker is one of the whole machine.
    let stalls =
        history.processes.iter().filter(|(name, process)| processes.contains(name.as_str()) || process.pid == 0);
    let stalls = stalls.flat_map(|(name, process)| process.stalls.iter().map(move |stall| (name, process.pid, *stall)));
    let stalls = stalls.map(|(name, pid, stall)| {
        let may_lapse = stall.length() * 2 > limits.ttl;
        let process = if pid == 0 { "" } else { name };
        stall.extended(if may_lapse { lasting(stall, process) + limits.worker_recovery } else { limits.moment })
    });
    faults.chain(stalls).collect()
}

/// Whether `name` is this process, or a child that it has forked, which uses the same network; or any process of this worker.
fn is_meant_by(name: &str, meant: &str) -> bool {
    let (parent, _) = name.split_once(CHILD).unwrap_or((name, ""));
    [name, parent, worker_of(parent)].contains(&meant)
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
