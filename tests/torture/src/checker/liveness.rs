//! No call waits while the lock is free, nor while it could be had beside those who have it.

use std::collections::BTreeSet;

use distributed_locks::Mode;

use super::busy::Busy;
use super::call::Call;
use super::history::History;
use super::order::{self, Queues};
use super::spans::{Span, Timeline, longest_uncovered};
use super::waits::{held_until, is_queued, queued};
use super::{Limits, Rule, Violation, foreign, windows};
use crate::clock::Nanos;

pub(super) fn check(history: &History, limits: &Limits) -> Vec<Violation> {
    let locks: Vec<Lock<'_>> = history.keys().into_iter().map(|key| Lock::of(history, limits, key)).collect();
    let busy = Busy::of(history, locks.iter().map(|lock| (lock.key, lock.busy())));
    let queues = Queues::of(history, limits);
    let mut violations = Vec::new();
    for lock in &locks {
        for call in lock.calls.iter().filter(|call| is_queued(call)) {
            let idle = lock.idle_wait(history, limits, &busy, call);
            violations.extend(idle.or_else(|| lock.kept_from_neighbours(history, limits, &queues, call)));
        }
    }
    if history.promises().queue_order {
        violations.extend(order::check(history, limits, &queues));
    }
    violations
}

/// All calls of one lock.
struct Lock<'a> {
    key: &'a str,
    calls: Vec<&'a Call>,
    held: Timeline<&'a Call>,
    waiting: Timeline<&'a Call>,
    /// When a fault explains that its waiters wait, or another client has it.
    explained: Timeline<()>,
}

impl<'a> Lock<'a> {
    fn of(history: &'a History, limits: &Limits, key: &'a str) -> Self {
        let calls: Vec<&Call> = history.calls.iter().filter(|call| call.key == key).collect();
        let held = |call: &&'a Call| {
            let hold = call.hold.as_ref()?;
            Some((Span::new(hold.begun, held_until(history, call)), *call))
        };
        let waiting = calls.iter().filter(|call| is_queued(call)).map(|call| (queued(history, call), *call));
        let (held, waiting) = (calls.iter().filter_map(held).collect(), waiting.collect());
        let explained = windows::explained(history, limits, key, &windows::involved(history, key));
        let always = windows::within(&explained, Span::new(0, Nanos::MAX));
        let explained = always.chain(foreign::occupied(history, limits, key)).map(|span| (span, ())).collect();
        Self { key, calls, held, waiting, explained }
    }

    /// When somebody has it, or a fault explains that its waiters wait.
    fn busy(&self) -> Vec<Span> {
        let always = Span::new(0, Nanos::MAX);
        let held = self.held.overlapping(always).map(|(span, _)| *span);
        held.chain(windows::within(&self.explained, always)).collect()
    }

    /// The call waited although nobody held the lock, or any that those before it may have waited for.
    fn idle_wait(&self, history: &History, limits: &Limits, busy: &Busy<'_>, call: &Call) -> Option<Violation> {
        let whole = queued(history, call);
        let idle =
            longest_uncovered(whole, busy.within(self.key, whole)).filter(|idle| idle.length() > limits.moment)?;
        let free = if call.others.is_empty() { "the lock was free" } else { "this one of its locks was free" };
        Some(self.violation(call, idle, free))
    }

    /// The call waited although it could have had the lock beside those who had it, and nobody whom it would have passed was
    /// waiting.
    fn kept_from_neighbours(
        &self,
        history: &History,
        limits: &Limits,
        queues: &Queues<'_>,
        call: &Call,
    ) -> Option<Violation> {
        let whole = queued(history, call);
        // One that waits for other locks, too, waits for those who are before it in their lines.
        if call.mode == Mode::Exclusive || !call.others.is_empty() || whole.length() <= limits.moment {
            return None;
        }
        let idle = |back| {
            let (held, waiting) = (self.held.overlapping(whole), self.waiting.overlapping(whole));
            let in_the_way = held.filter(|(_, holder)| !holder.may_be_beside(call)).map(|(span, _)| *span);
            let ahead = waiting.filter(|(_, other)| queues.may_be_ahead(other, call, back)).map(|(span, _)| *span);
            let explained = windows::within(&self.explained, whole);
            let covers = in_the_way.chain(ahead).chain(self.without_permit(call, whole)).chain(explained);
            longest_uncovered(whole, covers).filter(|idle| idle.length() > limits.moment)
        };
        idle(0)?;
        // A process that was paused for long, or cut off, may have lost its entry, and have another one behind those who came since.
        let faults = windows::explained(history, limits, self.key, &BTreeSet::from([call.process.as_str()]));
        let idle = idle(windows::within(&faults, whole).map(|fault| fault.to).max().unwrap_or(0))?;
        Some(self.violation(
            call,
            idle,
            &format!("it could have had the lock as {} beside those who had it", call.mode),
        ))
    }

    /// When as many have permits as this call allows, or more.
    fn without_permit(&self, call: &Call, whole: Span) -> Vec<Span> {
        let Mode::Permits(_) = call.mode else { return Vec::new() };
        let held: Vec<(Span, Mode)> = self.held.overlapping(whole).map(|(span, call)| (*span, call.mode)).collect();
        let mut moments: Vec<Nanos> = held.iter().flat_map(|(span, _)| [span.from, span.to]).collect();
        moments.sort_unstable();
        moments.dedup();
        let between = moments.windows(2).map(|pair| Span::new(pair[0], pair[1]));
        let full = between.filter(|between| {
            let holders = held.iter().filter(|(span, _)| span.overlaps(*between)).map(|(_, mode)| *mode);
            !call.mode.holds_behind(holders)
        });
        full.collect()
    }

    fn violation(&self, call: &Call, idle: Span, what: &str) -> Violation {
        let before = self.held.overlapping(Span::new(0, idle.from + 1)).next_back();
        let next = self.held.overlapping(Span::new(idle.to, idle.to + 1)).next();
        let around: Vec<&Call> = before.into_iter().chain(next).map(|(_, call)| *call).chain([call]).collect();
        let description = format!("{} waited for {:?} while {what}", call.process, idle.length());
        Violation::new(Rule::Progress, self.key, idle, &around, description)
    }
}
