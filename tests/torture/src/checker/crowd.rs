//! Permits: at no moment do more hold the lock than all of them allow.

use distributed_locks::Mode;

use super::call::{Call, Hold, may_hold_together};
use super::excuses::{Excuse, excuse};
use super::history::History;
use super::spans::Span;
use super::{Limits, Rule, Violation, least};
use crate::clock::Nanos;

type Held<'a> = (&'a Call, &'a Hold);

/// Those who have a permit at one moment, of which the last one has just begun.
struct Crowd<'a> {
    at: Nanos,
    holders: Vec<Held<'a>>,
}

pub(super) fn check(history: &History, limits: &Limits, key: &str) -> Vec<Violation> {
    let too_many = crowds(history, key).into_iter().filter_map(|crowd| {
        let (excused, rest) = crowd.excused(history, limits);
        let is_right = may_hold_together(rest.iter().map(|(call, _)| call.mode));
        (!is_right).then(|| crowd.violation(history, key, excused.len()))
    });
    too_many.collect()
}

/// Why more than that were seen, for each that was one too many.
pub(super) fn excuses(history: &History, limits: &Limits, key: &str) -> Vec<Excuse> {
    crowds(history, key).iter().flat_map(|crowd| crowd.excused(history, limits).0).collect()
}

/// Wherever there are more than all of them allow.
fn crowds<'a>(history: &'a History, key: &str) -> Vec<Crowd<'a>> {
    let holds = history.holds(key);
    let permits: Vec<(Held<'_>, Nanos)> = holds
        .iter()
        .enumerate()
        .filter(|(_, (call, _))| matches!(call.mode, Mode::Permits(_)) && call.options.joins.is_none())
        .map(|(at, (call, hold))| {
            let kept = least::kept_until(&holds[..at], call, hold).unwrap_or(0);
            ((*call, *hold), history.ran_until(call, hold).max(kept))
        })
        .collect();
    let mut crowds = Vec::new();
    let mut present: Vec<(Held<'_>, Nanos)> = Vec::new();
    for (held, until) in permits {
        let at = held.1.begun;
        present.retain(|(_, until)| *until > at);
        present.push((held, until));
        if !may_hold_together(present.iter().map(|((call, _), _)| call.mode)) {
            crowds.push(Crowd { at, holders: present.iter().map(|(held, _)| *held).collect() });
        }
    }
    crowds
}

impl<'a> Crowd<'a> {
    /// Those for whom there is an excuse, with that, and the others.
    fn excused(&self, history: &History, limits: &Limits) -> (Vec<Excuse>, Vec<Held<'a>>) {
        let mut excuses = Vec::new();
        let rest = self.holders.iter().filter(|held| {
            let excuse = self.excuse(history, limits, **held);
            excuses.extend(excuse);
            excuse.is_none()
        });
        let rest = rest.copied().collect();
        (excuses, rest)
    }

    fn excuse(&self, history: &History, limits: &Limits, held: Held<'a>) -> Option<Excuse> {
        let (call, hold) = held;
        if history.ran_until(call, hold) <= self.at && hold.begun < self.at {
            // Its body is over, and it keeps its permit.
            let taken = least::is_taken_away(history, &call.process, Span::new(call.invoked, self.at));
            return taken.then_some(Excuse::Revoked);
        }
        let others = self.holders.iter().filter(|(other, _)| !std::ptr::eq(*other, call));
        let excuses = others.filter_map(|(_, other)| {
            let excuse = excuse(history, limits, held, other)?;
            // A body that had not begun before has nothing to go on with.
            (hold.begun < other.begun || excuse != Excuse::Unstoppable).then_some(excuse)
        });
        excuses.min()
    }

    fn violation(&self, history: &History, key: &str, excused: usize) -> Violation {
        let ends = self.holders.iter().map(|(call, hold)| history.ran_until(call, hold));
        let span = Span::new(self.at, ends.min().unwrap_or(self.at).max(self.at));
        let shown: Vec<String> =
            self.holders.iter().map(|(call, _)| format!("{} as {}", call.process, call.mode)).collect();
        let excused = if excused == 0 { String::new() } else { format!(", of which {excused} are excused") };
        let description = format!("{} hold the lock at once{excused}: {}", self.holders.len(), shown.join(", "));
        let calls: Vec<&Call> = self.holders.iter().map(|(call, _)| *call).collect();
        Violation::new(Rule::Exclusion, key, span, &calls, description)
    }
}
