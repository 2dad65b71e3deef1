//! What a run was: for `docs/PROOF.md`, and to see that it was none without faults.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::checker::{self, Excuse, Limits, Story};
use crate::history::{Ending, Outcome, Scope};

/// The figures of a run.
#[derive(Debug)]
pub struct Summary {
    minutes: f64,
    processes: usize,
    holds: usize,
    outcomes: BTreeMap<Outcome, usize>,
    faults: BTreeMap<String, usize>,
    stopped: usize,
    longest_notice: Duration,
    closest: Option<Duration>,
    writes: usize,
    refused: usize,
    entries: usize,
    stalls: usize,
    calm: f64,
    excuses: BTreeMap<Excuse, usize>,
}

impl Summary {
    /// Of this story.
    #[must_use]
    pub fn of(story: &Story, limits: &Limits) -> Self {
        let mut outcomes = BTreeMap::new();
        for (_, outcome) in story.calls.iter().filter_map(|call| call.returned) {
            *outcomes.entry(outcome).or_default() += 1;
        }
        let mut faults = BTreeMap::new();
        for fault in story.faults.iter().filter(|fault| fault.scope != Scope::OldLeader) {
            let kind = fault.name.split(':').next().unwrap_or_default();
            *faults.entry(kind.to_owned()).or_default() += 1;
        }
        let holds = story.calls.iter().filter_map(|call| call.hold.as_ref());
        let dropped = |call: &&checker::Call| {
            let ending = call.hold.as_ref().and_then(|hold| hold.ended);
            ending.is_some_and(|(_, how)| how == Ending::Dropped)
                && call.returned.is_some_and(|(_, outcome)| outcome == Outcome::Lost)
        };
        Self {
            minutes: Duration::from_nanos(story.end - story.start).as_secs_f64() / 60.0,
            processes: story.processes.values().filter(|process| process.pid != 0).count(),
            holds: holds.count(),
            outcomes,
            faults,
            stopped: story.calls.iter().filter(dropped).count(),
            longest_notice: longest_notice(story),
            closest: closest(story, limits),
            writes: story.writes.len(),
            refused: story.writes.iter().filter(|write| !write.accepted).count(),
            entries: story.entries.len(),
            stalls: story.processes.values().map(|process| process.stalls.len()).sum(),
            calm: checker::calm(story, limits),
            excuses: checker::excuses(story, limits),
        }
    }
}

/// The longest time in which a body went on after its lease was revoked by somebody else.
fn longest_notice(story: &Story) -> Duration {
    let revoked = story.faults.iter().filter_map(|fault| match &fault.scope {
        Scope::Revocation(process) => Some((process, fault.span)),
        _ => None,
    });
    let notices = revoked.flat_map(|(process, span)| {
        let held = story.calls.iter().filter(move |call| call.by == *process && call.stoppable);
        held.filter_map(move |call| {
            let (end, _) = call.hold.as_ref().filter(|hold| hold.begun < span.from)?.ended?;
            (end > span.to && call.returned?.1 == Outcome::Lost).then(|| Duration::from_nanos(end - span.to))
        })
    });
    notices.max().unwrap_or_default()
}

/// The shortest time from a body that was stopped at its deadline to the next one under the same lock. Bodies of processes
/// that were stopped in time by nothing but the clock: not those that were paused, or whose lease was revoked.
fn closest(story: &Story, limits: &Limits) -> Option<Duration> {
    let mut closest = None;
    for key in story.keys() {
        for pair in story.holds(key).windows(2) {
            let Some((end, _)) = pair[0].1.ended else { continue };
            let lost = pair[0].0.returned.is_some_and(|(_, outcome)| outcome == Outcome::Lost);
            let before = end.saturating_sub(crate::clock::nanos(limits.ttl));
            let stalled = story.stalls(&pair[0].0.by).iter().any(|stall| stall.to > before && stall.from < end);
            let revoked = story.faults.iter().any(|fault| {
                matches!(fault.scope, Scope::Revocation(_)) && fault.span.to > before && fault.span.from < end
            });
            if lost && !stalled && !revoked && pair[0].0.by != pair[1].0.by && pair[1].1.begun > end {
                let gap = Duration::from_nanos(pair[1].1.begun - end);
                closest = Some(closest.map_or(gap, |least: Duration| least.min(gap)));
            }
        }
    }
    closest
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { minutes, processes, holds, writes, refused, entries, stalls, .. } = self;
        #[expect(clippy::cast_precision_loss, reason = "counters are small")]
        let pace = *holds as f64 / minutes;
        writeln!(f, "{minutes:.1} minutes, {processes} worker processes, {holds} holds ({pace:.0} a minute)")?;
        writeln!(f, "calls: {}", list(self.outcomes.iter().map(|(outcome, count)| (format!("{outcome:?}"), *count))))?;
        writeln!(f, "faults: {}", list(self.faults.iter().map(|(kind, count)| (kind.clone(), *count))))?;
        let closest = self.closest.map_or("none".to_owned(), |closest| format!("{closest:.0?}"));
        writeln!(
            f,
            "bodies stopped for a loss: {}; from a deadline to the next holder at least {closest}",
            self.stopped
        )?;
        writeln!(f, "a revoked lease was noticed within {:.0?}", self.longest_notice)?;
        writeln!(
            f,
            "register: {writes} writes, {refused} refused; {entries} entries seen; {stalls} stalls over 100 ms"
        )?;
        let excuses = list(self.excuses.iter().map(|(excuse, count)| (format!("{excuse:?}"), *count)));
        writeln!(f, "two bodies at one time, excused: {}", if excuses.is_empty() { "none" } else { &excuses })?;
        writeln!(f, "no fault explained waiting in {:.0} % of the time", self.calm * 100.0)
    }
}

fn list(counts: impl Iterator<Item = (String, usize)>) -> String {
    counts.map(|(name, count)| format!("{count} {}", name.to_lowercase())).collect::<Vec<_>>().join(", ")
}
