//! Who runs, who waits, and what must hold at every change.

use crate::model::{QueuedEntry, State};
use crate::network::{Nanos, Network};
use crate::plan::Call;
use locks_runtime::{Fence, Guard, Mode};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// A body that runs on after a pause has ended is gone within this time.
const STOPS_WITHIN: Duration = Duration::from_millis(10);

/// By how much the clocks of a process and of the store may differ, beside what the plan's pace makes of it.
const APART: Duration = Duration::from_millis(50);

/// What was found, by kind: the first of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(pub BTreeMap<&'static str, String>);

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(kind, what)| writeln!(f, "{kind}: {what}"))
    }
}

/// Sees all processes at once.
pub(super) struct Witness {
    network: Arc<Network>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
pub(super) struct Seen {
    pub(super) live: Vec<Live>,
    /// The calls that have begun and not ended.
    pub(super) pending: BTreeMap<usize, Pending>,
    /// By process and key.
    kept: BTreeMap<(usize, &'static str), Kept>,
    /// Until when nobody else may have the lock, whatever becomes of who had asked for that, and who that was.
    reserved: BTreeMap<&'static str, Reserved>,
    /// When each body of a lock ended that had held it until then, and how it had.
    released: BTreeMap<&'static str, Vec<(Mode, Nanos)>>,
    fences: BTreeMap<&'static str, Fences>,
    own_fences: BTreeMap<(usize, &'static str), Fences>,
    /// How each call shares its locks, by name.
    modes: BTreeMap<String, Mode>,
    stops: BTreeMap<usize, Stop>,
    /// When a body began, or a call ended, the last time.
    progressed: Option<Instant>,
    findings: Findings,
}

/// The greatest fences of a lock so far.
#[derive(Clone, Copy)]
struct Fences {
    at: Nanos,
    /// Of who was alone.
    exclusive: Option<Fence>,
    any: Fence,
}

impl Fences {
    /// Notes a fence; returns the one that it should be above, and is not: those of readers are in no order among themselves.
    fn note(last: &mut Option<Self>, at: Nanos, mode: Mode, fence: Fence) -> Option<(Nanos, Fence)> {
        let before = *last;
        let is_alone = mode == Mode::Exclusive;
        let exclusive = before.and_then(|before| before.exclusive);
        *last = Some(Self {
            at,
            exclusive: if is_alone { Some(fence) } else { exclusive },
            any: before.map_or(fence, |before| if is_alone { fence } else { before.any.max(fence) }),
        });
        let before = before?;
        let bound = if is_alone { Some(before.any) } else { before.exclusive };
        bound.filter(|bound| fence <= *bound).map(|bound| (before.at, bound))
    }
}

/// A body that runs.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) id: usize,
    process: usize,
    pub(super) name: String,
    pub(super) keys: Vec<&'static str>,
    mode: Mode,
    pub(super) guard: Arc<Guard>,
    /// When it was asked for.
    asked: Nanos,
    since: Nanos,
}

/// An entry may be there by right, without a call.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    /// Until then.
    pub(super) until: Instant,
    /// The longest `hold_at_least` for which it is.
    pub(super) longest: Duration,
}

/// A lock's `hold_at_least`.
#[derive(Clone)]
struct Reserved {
    until: Nanos,
    /// Who asked for it, and when.
    name: String,
    asked: Nanos,
    fence: Fence,
    mode: Mode,
}

pub(super) struct Pending {
    pub(super) process: usize,
    pub(super) name: String,
    pub(super) keys: Vec<&'static str>,
    least: Option<Duration>,
    asked: Nanos,
}

#[derive(Clone, Copy)]
enum Stop {
    Until(Instant),
    Resumed(Instant),
    Killed,
}

impl Seen {
    pub(super) fn find(&mut self, kind: &'static str, what: impl FnOnce() -> String) {
        self.findings.0.entry(kind).or_insert_with(what);
    }

    /// Whether the process cannot do anything, or could not until just now.
    pub(super) fn is_stopped(&self, process: usize) -> bool {
        match self.stops.get(&process) {
            None => false,
            Some(Stop::Until(_) | Stop::Killed) => true,
            Some(Stop::Resumed(at)) => at.elapsed() <= STOPS_WITHIN,
        }
    }

    /// Whether, and until when, the process may have entries of that lock without a call.
    pub(super) fn kept(&self, process: usize, key: &'static str) -> Option<Kept> {
        self.kept.get(&(process, key)).copied()
    }

    /// For so long an entry may stay without a call.
    fn keep(&mut self, process: usize, key: &'static str, least: Option<Duration>) {
        if let Some(least) = least {
            let (until, longest) = (Instant::now() + least, least);
            let kept = self.kept.entry((process, key)).or_insert(Kept { until, longest });
            *kept = Kept { until: until.max(kept.until), longest: longest.max(kept.longest) };
        }
    }

    /// Nobody else gets the lock before the call's `hold_at_least` is over.
    fn reserve(&mut self, live: &Live, key: &'static str, least: Option<Duration>) {
        let Some(least) = least.filter(|_| live.guard.is_held()) else { return };
        // It was not granted before those had ended beside whom it cannot be; the time may have been counted from then.
        let released = self.released.get(key).into_iter().flatten();
        let before = released.filter(|(mode, _)| !may_be_together(live.mode, *mode)).map(|(_, at)| *at).max();
        let granted = before.unwrap_or_default().max(live.asked);
        // A server's clock may be faster by a hundredth.
        let until = granted + (least.saturating_sub(least / 50 + APART)).as_nanos() as Nanos;
        let (name, asked, fence, mode) = (live.name.clone(), live.asked, live.fence_of(key), live.mode);
        self.reserved.insert(key, Reserved { until, name, asked, fence, mode });
    }

    fn look_at_reserved(&mut self, live: &Live, key: &'static str, state: &dyn State) {
        let Some(reserved) = self.reserved.get(key).cloned() else { return };
        // One that begins late, under a hold that was over before, is for the other rules.
        let is_newer = live.fence_of(key) > reserved.fence && !may_be_together(live.mode, reserved.mode);
        // The one, or the other: then it is of a former primary.
        let is_forgotten = |fence: Fence| state.has_forgotten(key, fence.number());
        let is_excused = is_disturbed(state, key, reserved.asked)
            || is_forgotten(reserved.fence)
            || is_forgotten(live.fence_of(key));
        if is_newer && live.since < reserved.until && !is_excused {
            let early = Duration::from_nanos(reserved.until - live.since);
            let Live { name, .. } = live;
            self.find("free too soon", || {
                format!("{name} has {key} {early:?} before the end of {}'s `hold_at_least`", reserved.name)
            });
        }
    }

    fn look(&mut self, state: &dyn State) {
        // What the store has forgotten since nobody can keep.
        self.reserved.retain(|key, reserved| {
            !is_disturbed(state, key, reserved.asked) && !state.has_forgotten(key, reserved.fence.number())
        });
        let believers: Vec<Live> = self.live.iter().filter(|live| live.guard.is_held()).cloned().collect();
        for live in believers.iter().filter(|live| !live.is_excused(state)) {
            for key in &live.keys {
                let queue = state.queue(key);
                let place = queue.iter().position(|entry| entry.name == live.name);
                if !place.is_some_and(|place| self.lets_hold(&queue[..place], live.mode)) {
                    let (Live { name, mode, .. }, fence) = (live, live.fence_of(key));
                    self.find("believed", || {
                        format!("{name} believes in its hold of {key} as {mode} ({fence:?}), the store has {queue:?}")
                    });
                }
            }
        }
    }

    /// Whether an entry of this mode holds the lock behind those, by the rule for all modes.
    pub(super) fn lets_hold(&self, ahead: &[QueuedEntry], mode: Mode) -> bool {
        mode.holds_behind(ahead.iter().map(|entry| self.mode_of(entry)))
    }

    /// A stranger's entry is exclusive.
    pub(super) fn mode_of(&self, entry: &QueuedEntry) -> Mode {
        self.modes.get(&entry.name).copied().unwrap_or_default()
    }

    fn begin(&mut self, live: &Live, key: &'static str, state: &dyn State) {
        let Live { name, process, mode, .. } = live;
        // Under a hold that a failover has forgotten it may begin beside another process, as it may go on beside one.
        let is_forgotten = state.has_forgotten(key, live.fence_of(key).number());
        let is_beside = |other: &&Live| is_forgotten && other.process != *process;
        let others = self.live.iter().filter(|other| other.keys.contains(&key) && !is_beside(other));
        // A body that runs on after its hold was over is gone soon, unless its process is stopped.
        let counts = |other: &&Live| other.guard.is_held() || !self.is_stopped(other.process);
        let others: Vec<Live> = others.filter(|other| !other.is_excused(state)).filter(counts).cloned().collect();
        let permits = others.iter().filter(|other| matches!(other.mode, Mode::Permits(_))).count();
        let is_one_too_many = matches!(mode, Mode::Permits(limit) if permits >= *limit as usize);
        for other in others {
            let is_held = other.guard.is_held();
            if !may_be_together(*mode, other.mode) || is_one_too_many {
                self.find("two bodies", || {
                    format!(
                        "{name} begins with {key} as {mode} while {} runs as {} (held: {is_held})",
                        other.name, other.mode
                    )
                });
            }
        }
        let fence = live.fence_of(key);
        // Whose entry a stranger has removed before its grant arrived begins late, under a hold that is over.
        if !live.is_excused(state) {
            // Of what was before the store went back, nothing says how great the next fence is.
            let counts = |last: &Fences| state.went_back().is_none_or(|back| back < last.at);
            let mut last = self.fences.get(key).copied().filter(counts);
            let too_small = Fences::note(&mut last, live.since, *mode, fence);
            self.fences.extend(last.map(|last| (key, last)));
            if let Some((_, last)) = too_small {
                self.find("fence goes back", || format!("{name} has {fence:?} of {key}, after {last:?}"));
            }
        }
        let mut last = self.own_fences.get(&(*process, key)).copied();
        if let Some((_, last)) = Fences::note(&mut last, live.since, *mode, fence) {
            self.find("own fence goes back", || {
                format!("{name} has {fence:?} of {key}, after {last:?} in one process")
            });
        }
        self.own_fences.extend(last.map(|last| ((*process, key), last)));
    }
}

/// Whether bodies of these modes may run at the same time.
fn may_be_together(one: Mode, other: Mode) -> bool {
    matches!((one, other), (Mode::Shared, Mode::Shared) | (Mode::Permits(_), Mode::Permits(_)))
}

impl Live {
    /// Whether somebody who is no process of the plan took its entry away, perhaps before its grant had arrived; or a failover
    /// has forgotten it.
    fn is_excused(&self, state: &dyn State) -> bool {
        let is_excused = |key: &&'static str| {
            is_disturbed(state, key, self.asked) || state.has_forgotten(key, self.fence_of(key).number())
        };
        self.keys.iter().any(is_excused)
    }

    fn fence_of(&self, key: &str) -> Fence {
        self.guard.fence_of(key).unwrap_or_else(|| panic!("{} has no fence of {key}", self.name))
    }
}

/// Whether somebody who is no process of the plan took entries of that lock away since then.
fn is_disturbed(state: &dyn State, key: &str, since: Nanos) -> bool {
    state.disturbed(key).max(state.went_back()).is_some_and(|at| since <= at)
}

impl Witness {
    pub(super) fn new(network: &Arc<Network>) -> Self {
        Self { network: Arc::clone(network), seen: Mutex::default() }
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// Whoever believes that it holds a lock is at the head of its queue.
    pub(super) fn look(&self, state: &dyn State) {
        // Not while somebody looks already.
        if let Ok(mut seen) = self.seen.try_lock() {
            seen.look(state);
        }
    }

    pub(super) fn find(&self, kind: &'static str, what: impl FnOnce() -> String) {
        self.seen().find(kind, what);
    }

    pub(super) fn findings(&self) -> Findings {
        self.seen().findings.clone()
    }

    pub(super) fn pending(&self) -> String {
        let seen = self.seen();
        let pending: Vec<_> =
            seen.pending.values().map(|call| format!("{} for {}", call.name, call.keys.join(" and "))).collect();
        pending.join(", ")
    }

    /// Until when entries may be left by right.
    pub(super) fn kept_until(&self) -> Option<Instant> {
        self.seen().kept.values().map(|kept| kept.until).max()
    }

    /// A call begins.
    pub(super) fn call(&self, process: usize, call: &Call) {
        let asked = self.network.now();
        let pending = Pending { process, name: call.name.clone(), keys: call.keys(), least: call.least, asked };
        let mut seen = self.seen();
        seen.modes.insert(call.name.clone(), call.mode);
        seen.pending.insert(call.id, pending);
    }

    /// A call has ended.
    pub(super) fn done(&self, call: &Call) {
        let mut seen = self.seen();
        seen.pending.remove(&call.id);
        seen.progressed = Some(Instant::now());
    }

    pub(super) fn progressed(&self) -> Option<Instant> {
        self.seen().progressed
    }

    /// A body begins, and runs until what this returns is dropped.
    pub(super) fn begin(self: &Arc<Self>, process: usize, call: &Call, guard: Arc<Guard>, state: &dyn State) -> Body {
        self.network.note("begin", || format!("{} {} {:?}", call.name, call.keys().join(" and "), guard.fence()));
        let mut seen = self.seen();
        let since = self.network.now();
        let asked = seen.pending.get(&call.id).map_or(since, |pending| pending.asked);
        let (name, keys, mode) = (call.name.clone(), call.keys(), call.mode);
        let live = Live { id: call.id, process, name, keys, mode, guard, asked, since };
        for key in live.keys.clone() {
            seen.begin(&live, key, state);
            seen.look_at_reserved(&live, key, state);
            seen.reserve(&live, key, call.least);
            seen.keep(process, key, call.least);
        }
        seen.live.push(live);
        seen.progressed = Some(Instant::now());
        seen.look(state);
        Body { id: call.id, witness: Arc::clone(self) }
    }

    pub(super) fn pause(&self, process: usize, until: Instant) {
        let mut seen = self.seen();
        match seen.stops.get(&process) {
            Some(Stop::Killed) => {}
            Some(Stop::Until(later)) if *later >= until => {}
            _ => drop(seen.stops.insert(process, Stop::Until(until))),
        }
    }

    /// Whether the process goes on, because no other pause of it lasts longer.
    pub(super) fn resume(&self, process: usize, until: Instant) -> bool {
        let mut seen = self.seen();
        let is_last = matches!(seen.stops.get(&process), Some(Stop::Until(last)) if *last == until);
        if is_last {
            seen.stops.insert(process, Stop::Resumed(Instant::now()));
        }
        is_last
    }

    pub(super) fn kill(&self, process: usize) {
        let mut seen = self.seen();
        seen.stops.insert(process, Stop::Killed);
        // What it was about to arrange may be arranged.
        let pending = seen.pending.values().filter(|call| call.process == process);
        let arranged: Vec<_> =
            pending.flat_map(|call| call.keys.iter().map(|key| (*key, call.least)).collect::<Vec<_>>()).collect();
        for (key, least) in arranged {
            seen.keep(process, key, least);
        }
        seen.pending.retain(|_, call| call.process != process);
        seen.live.retain(|live| live.process != process);
    }

    /// Whether there was a call with this name.
    pub(super) fn is_call(&self, name: &str) -> bool {
        self.seen().modes.contains_key(name)
    }

    pub(super) fn is_killed(&self, process: usize) -> bool {
        matches!(self.seen().stops.get(&process), Some(Stop::Killed))
    }
}

/// A body, from its beginning to its end or to when it is dropped.
pub(super) struct Body {
    id: usize,
    witness: Arc<Witness>,
}

impl Drop for Body {
    fn drop(&mut self) {
        let now = self.witness.network.now();
        let mut seen = self.witness.seen();
        let held = seen.live.iter().find(|live| live.id == self.id && live.guard.is_held());
        if let Some((keys, mode)) = held.map(|live| (live.keys.clone(), live.mode)) {
            for key in keys {
                seen.released.entry(key).or_default().push((mode, now));
            }
        }
        seen.live.retain(|live| live.id != self.id);
    }
}
