//! Every wait, every body and every release ends; in time, if it has a limit.

use std::time::Duration;

use super::call::Call;
use super::history::{History, Process};
use super::spans::{Span, uncovered};
use super::waits::wait;
use super::{Limits, Rule, Violation};
use crate::history::Wait;
use crate::matrix::Deed;

/// The time that a process needs to catch up after a stall.
const CATCHING_UP: Duration = Duration::from_millis(300);

pub(super) fn check(history: &History, limits: &Limits) -> Vec<Violation> {
    let alive = history.requests().filter(|call| history.died(&call.process).is_none());
    let overdue = alive.filter_map(|call| overdue(history, limits, call));
    let ended = history.processes.iter().filter_map(|(name, process)| ended(name, process));
    overdue.chain(ended).collect()
}

/// The process ended, and neither the nemesis nor itself had planned that, or not like that.
fn ended(name: &str, process: &Process) -> Option<Violation> {
    let (at, status) = process.ended.as_ref()?;
    let planned = process.ends.map(|(_, deed)| deed);
    let expected = match planned {
        Some(Deed::Return | Deed::Exit) => Some("exit status: 0"),
        Some(Deed::Abort) => Some("signal: 6"),
        Some(Deed::Kill) => Some("signal: 9"),
        _ => None,
    };
    let is_planned = expected.is_some_and(|expected| status.starts_with(expected));
    (!is_planned).then(|| {
        let plan = planned.map_or("which nobody had planned".to_owned(), |deed| format!("and was to end by {deed:?}"));
        let description = format!("{name} ended with {status}, {plan}");
        Violation::new(Rule::Termination, "(all)", Span::new(*at, *at), &[], description)
    })
}

fn overdue(history: &History, limits: &Limits, call: &Call) -> Option<Violation> {
    let ended_at = history.ended_at(call);
    let answer = limits.connect_timeout + limits.moment;
    let violation = |span, what: String| {
        let description = format!("a call of {} {what}", call.process);
        Some(Violation::new(Rule::Termination, &call.key, span, &[call], description))
    };
    if call.returned.is_none() && history.drained {
        return violation(Span::new(call.invoked, ended_at), "never ended".to_owned());
    }
    let wait = wait(history, call);
    match call.wait {
        Wait::Millis(limit) if scheduled(history, call, wait) > Duration::from_millis(limit) + limits.moment => {
            return violation(wait, format!("waited for {:?} with a limit of {limit} ms", wait.length()));
        }
        Wait::Never if scheduled(history, call, wait) > answer => {
            return violation(wait, format!("tried for {:?}", wait.length()));
        }
        _ => {}
    }
    if let (Some(limit), Some(hold)) = (call.limit_ms, &call.hold) {
        let ran = Span::new(hold.begun, history.ran_until(call, hold));
        if scheduled(history, call, ran) > Duration::from_millis(limit) + limits.moment {
            return violation(ran, format!("ran for {:?} with a limit of {limit} ms", ran.length()));
        }
    }
    let release = Span::new(call.hold.as_ref()?.ended?.0, ended_at);
    let is_late = scheduled(history, call, release) > answer;
    is_late.then(|| violation(release, format!("took {:?} to return after its body", release.length())))?
}

/// The part of `span` in which the call's process was scheduled.
fn scheduled(history: &History, call: &Call, span: Span) -> Duration {
    let stalls = history.stalls(&call.process).iter().map(|stall| stall.extended(CATCHING_UP));
    uncovered(span, stalls).iter().map(|span| span.length()).sum()
}
