//! The figures of a run: for `docs/PROOF.md`, and to see that there were faults.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use distributed_locks::Mode;

use crate::checker::{self, Call, Excuse, History, Limits};
use crate::clock::nanos;
use crate::history::{Ending, Outcome, Scope};
use crate::matrix::{Pair, shown};

/// After so many minutes every pair of the matrix should have been met.
const ALL_PAIRS_WITHIN: f64 = 10.0;

/// The figures of a run.
#[derive(Debug)]
pub struct Summary {
    minutes: f64,
    processes: usize,
    holds: usize,
    /// By mode, and those of several locks; with the most that had one lock at one moment.
    kinds: BTreeMap<&'static str, (usize, usize)>,
    outcomes: BTreeMap<Outcome, usize>,
    faults: BTreeMap<String, usize>,
    stopped: usize,
    slowest_notice: Duration,
    shortest_gap: Option<Duration>,
    writes: usize,
    refused: usize,
    entries: usize,
    stalls: usize,
    undisturbed: f64,
    excuses: BTreeMap<Excuse, usize>,
    /// How often each pair of the matrix was met, if there is one.
    pairs: Option<BTreeMap<Pair, usize>>,
    foreign: BTreeMap<String, (usize, usize)>,
}

impl Summary {
    /// The figures of this history.
    #[must_use]
    pub fn of(history: &History, limits: &Limits) -> Self {
        let mut outcomes = BTreeMap::new();
        for (_, outcome) in history.requests().filter_map(|call| call.returned) {
            *outcomes.entry(outcome).or_default() += 1;
        }
        let mut faults = BTreeMap::new();
        // These are a part of another fault.
        let is_whole =
            |scope: &Scope| !matches!(scope, Scope::OldLeader | Scope::Forgotten(_) | Scope::FormerPrimary(_));
        let mut counted = BTreeSet::new();
        let whole = history.faults.iter().filter(|fault| is_whole(&fault.scope));
        for fault in whole.filter(|fault| counted.insert(fault.number)) {
            let kind = fault.name.split(':').next().unwrap_or_default();
            *faults.entry(kind.to_owned()).or_default() += 1;
        }
        let stopped = |call: &&Call| {
            let ending = call.hold.as_ref().and_then(|hold| hold.ended);
            ending.is_some_and(|(_, ending)| ending == Ending::Dropped)
                && call.returned.is_some_and(|(_, outcome)| outcome == Outcome::Lost)
        };
        Self {
            minutes: Duration::from_nanos(history.end - history.start).as_secs_f64() / 60.0,
            processes: history.processes.values().filter(|process| process.pid != 0).count(),
            holds: history.requests().filter(|call| call.hold.is_some()).count(),
            kinds: kinds(history),
            outcomes,
            faults,
            stopped: history.requests().filter(stopped).count(),
            slowest_notice: slowest_notice(history),
            shortest_gap: shortest_gap(history, limits),
            writes: history.writes.len(),
            refused: history.writes.iter().filter(|write| !write.accepted).count(),
            entries: history.entries.len(),
            stalls: history.processes.values().map(|process| process.stalls.len()).sum(),
            undisturbed: checker::undisturbed(history, limits),
            excuses: checker::excuses(history, limits),
            pairs: history.matrix.map(|matrix| matrix.count(&history.met)),
            foreign: history.foreign.counts().into_iter().map(|(client, counts)| (client.to_owned(), counts)).collect(),
        }
    }
}

/// Of each kind how many holds there were, and how many of one lock at one moment.
fn kinds(history: &History) -> BTreeMap<&'static str, (usize, usize)> {
    let is_of = |call: &Call, kind| match kind {
        "exclusive" => call.mode == Mode::Exclusive,
        "shared" => call.mode == Mode::Shared,
        "with permits" => matches!(call.mode, Mode::Permits(_)),
        "as leader" => call.options.leads,
        _ => !call.others.is_empty(),
    };
    let figures = |kind| {
        let count = history.requests().filter(|call| call.hold.is_some() && is_of(call, kind)).count();
        let at_once = |key: &str| {
            let mut present: Vec<u64> = Vec::new();
            let own =
                history.holds(key).into_iter().filter(|(call, _)| call.options.joins.is_none() && is_of(call, kind));
            let counts = own.map(|(call, hold)| {
                present.retain(|until| *until > hold.begun);
                present.push(history.ran_until(call, hold));
                present.len()
            });
            counts.max().unwrap_or(0)
        };
        (kind, (count, history.keys().into_iter().map(at_once).max().unwrap_or(0)))
    };
    ["exclusive", "shared", "with permits", "of several", "as leader"].map(figures).into()
}

/// The longest time for which a body went on after its lease was revoked by somebody else.
fn slowest_notice(history: &History) -> Duration {
    let revoked = history.faults.iter().filter_map(|fault| match &fault.scope {
        Scope::Revocation(process) => Some((process, fault.span)),
        _ => None,
    });
    let notices = revoked.flat_map(|(process, span)| {
        let held = history.calls.iter().filter(move |call| call.process == *process && call.stoppable);
        held.filter_map(move |call| {
            let (end, _) = call.hold.as_ref().filter(|hold| hold.begun < span.from)?.ended?;
            (end > span.to && call.returned?.1 == Outcome::Lost).then(|| Duration::from_nanos(end - span.to))
        })
    });
    notices.max().unwrap_or_default()
}

/// The shortest time from the end of a body that was stopped at its deadline to the next body under the same lock. Only
/// of processes that the clock alone stopped in time: not those that were paused, or whose lease was revoked.
fn shortest_gap(history: &History, limits: &Limits) -> Option<Duration> {
    let mut shortest = None;
    for key in history.keys() {
        let holds: Vec<_> = history.holds(key).into_iter().filter(|(call, _)| call.options.joins.is_none()).collect();
        for pair in holds.windows(2) {
            let [(call, hold), (next_call, next_hold)] = [pair[0], pair[1]];
            let Some((end, _)) = hold.ended else { continue };
            let lost = call.returned.is_some_and(|(_, outcome)| outcome == Outcome::Lost);
            let before = end.saturating_sub(nanos(limits.ttl));
            let stalled = history.stalls(&call.process).iter().any(|stall| stall.to > before && stall.from < end);
            let revoked = history.faults.iter().any(|fault| {
                matches!(fault.scope, Scope::Revocation(_)) && fault.span.to > before && fault.span.from < end
            });
            if lost && !stalled && !revoked && call.process != next_call.process && next_hold.begun > end {
                let gap = Duration::from_nanos(next_hold.begun - end);
                shortest = Some(shortest.map_or(gap, |shortest: Duration| shortest.min(gap)));
            }
        }
    }
    shortest
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { minutes, processes, holds, writes, refused, entries, stalls, .. } = self;
        #[expect(clippy::cast_precision_loss, reason = "counters are small")]
        let rate = *holds as f64 / minutes;
        writeln!(f, "{minutes:.1} minutes, {processes} worker processes, {holds} holds ({rate:.0} per minute)")?;
        let kinds =
            self.kinds.iter().map(|(kind, (count, at_once))| format!("{count} {kind} (at most {at_once} at once)"));
        writeln!(f, "holds: {}", kinds.collect::<Vec<_>>().join(", "))?;
        writeln!(f, "calls: {}", list(self.outcomes.iter().map(|(outcome, count)| (format!("{outcome:?}"), *count))))?;
        writeln!(f, "faults: {}", list(self.faults.iter().map(|(kind, count)| (kind.clone(), *count))))?;
        let gap = self.shortest_gap.map_or("none".to_owned(), |gap| format!("{gap:.0?}"));
        writeln!(
            f,
            "bodies stopped because the lock was lost: {}; shortest gap to the next holder: {gap}",
            self.stopped
        )?;
        writeln!(f, "longest time until a revoked lease was noticed: {:.0?}", self.slowest_notice)?;
        writeln!(
            f,
            "register: {writes} writes, {refused} refused; {entries} entries seen; {stalls} stalls over 100 ms"
        )?;
        let foreign = self.foreign.iter().map(|(name, (turns, failed))| format!("{turns} {name} ({failed} failed)"));
        let foreign = foreign.collect::<Vec<_>>().join(", ");
        writeln!(f, "turns of other clients: {}", if foreign.is_empty() { "none" } else { &foreign })?;
        let excuses = list(self.excuses.iter().map(|(excuse, count)| (format!("{excuse:?}"), *count)));
        writeln!(f, "overlapping bodies, excused: {}", if excuses.is_empty() { "none" } else { &excuses })?;
        writeln!(f, "time without an effective fault: {:.0} %", self.undisturbed * 100.0)?;
        self.pairs.as_ref().map_or(Ok(()), |pairs| show_pairs(f, pairs, *minutes))
    }
}

/// Which pairs of options, phases, faults and endings were met, and which were not although there was enough time.
fn show_pairs(f: &mut fmt::Formatter<'_>, pairs: &BTreeMap<Pair, usize>, minutes: f64) -> fmt::Result {
    let missing: Vec<&Pair> = pairs.iter().filter(|(_, count)| **count == 0).map(|(pair, _)| pair).collect();
    let fewest = pairs.values().min().copied().unwrap_or_default();
    write!(f, "pairs met: {} of {}", pairs.len() - missing.len(), pairs.len())?;
    if missing.is_empty() {
        return writeln!(f, ", each at least {fewest} times");
    }
    let shown: Vec<String> = missing.iter().map(|pair| format!("{} {}", shown(pair.0), shown(pair.1))).collect();
    writeln!(f, "; missing: {}", shown.join(", "))?;
    if minutes >= ALL_PAIRS_WITHIN {
        writeln!(f, "the matrix is INCOMPLETE: {ALL_PAIRS_WITHIN} minutes should meet every pair")?;
    }
    Ok(())
}

fn list(counts: impl Iterator<Item = (String, usize)>) -> String {
    counts.map(|(name, count)| format!("{count} {}", name.to_lowercase())).collect::<Vec<_>>().join(", ")
}
