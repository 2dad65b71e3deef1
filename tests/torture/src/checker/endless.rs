//! Every wait ends, every body, every release; in time, if there is a limit.

use std::time::Duration;

use super::spans::{Span, uncovered};
use super::story::{Call, Story};
use super::waiting::wait;
use super::{Limits, Rule, Violation};
use crate::history::Wait;

/// What a process that goes on after a stall has to do first.
const CATCHING_UP: Duration = Duration::from_millis(300);

pub(super) fn check(story: &Story, limits: &Limits) -> Vec<Violation> {
    let alive = story.calls.iter().filter(|call| story.died(&call.by).is_none());
    alive.filter_map(|call| endless(story, limits, call)).collect()
}

fn endless(story: &Story, limits: &Limits, call: &Call) -> Option<Violation> {
    let over = story.over_at(call);
    let answer = limits.connect_timeout + limits.moment;
    let violation = |span, what: String| {
        Some(Violation::new(Rule::Endless, &call.key, span, &[call], format!("a call of {} {what}", call.by)))
    };
    if call.returned.is_none() && story.drained {
        return violation(Span::new(call.asked, over), "never ended".to_owned());
    }
    let wait = wait(story, call);
    match call.wait {
        Wait::Millis(limit) if took(story, call, wait) > Duration::from_millis(limit) + limits.moment => {
            return violation(wait, format!("waited for {:?} with a limit of {limit} ms", wait.length()));
        }
        Wait::Never if took(story, call, wait) > answer => {
            return violation(wait, format!("tried for {:?}", wait.length()));
        }
        _ => {}
    }
    if let (Some(most), Some(hold)) = (call.most, &call.hold) {
        let ran = Span::new(hold.begun, story.ran_until(call, hold));
        if took(story, call, ran) > Duration::from_millis(most) + limits.moment {
            return violation(ran, format!("ran for {:?} with a limit of {most} ms", ran.length()));
        }
    }
    let release = Span::new(call.hold.as_ref()?.ended?.0, over);
    let too_long = took(story, call, release) > answer;
    too_long.then(|| violation(release, format!("took {:?} to return after its body", release.length())))?
}

/// How long it took, without the time in which its process got no turn.
fn took(story: &Story, call: &Call, span: Span) -> Duration {
    let stalls = story.stalls(&call.by).iter().map(|stall| stall.and(CATCHING_UP));
    uncovered(span, stalls).iter().map(|span| span.length()).sum()
}
