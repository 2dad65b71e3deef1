//! What must hold, but only when it lasts: no entry that nobody wants, and no holder that is not told.

use super::SECOND;
use super::witness::{Kept, Pending, Seen, Witness};
use crate::model::{Model, QueuedEntry, State};
use crate::network::Network;
use crate::plan::{KEYS, Plan};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a holder may not know of its turn, on a good network.
const KNOWS_WITHIN: Duration = Duration::from_secs(3);

/// The longest that a request is under way after which nobody waits for it, and then some.
const SETTLES_WITHIN: Duration = Duration::from_secs(15);

/// Looks at the store every second.
pub(super) struct Inspector<M> {
    model: Arc<M>,
    witness: Arc<Witness>,
    ttl: Duration,
    good: BTreeSet<&'static str>,
    shows_removals: bool,
    processes: usize,
    good_from: Instant,
    /// Something happens after which leases last for their whole time once more.
    lengthens_leases: bool,
    /// What could not be withdrawn lapses when the clock has come this far again, and nobody knows when that is.
    sets_clock_back: bool,
    /// Something lasts so long that sessions end: what is late by then is looked for by nobody, and lapses.
    outlasts_sessions: bool,
    /// What a session has left that was lost stays until somebody passes over it.
    leaves_places: bool,
    /// Since when each entry could hold its lock.
    turns: BTreeMap<(&'static str, String), Instant>,
    removed: BTreeMap<usize, Instant>,
    suspects: BTreeMap<String, Instant>,
}

/// An entry that should not be there.
struct Suspect {
    id: String,
    name: String,
    kind: Kind,
    /// It had left, and is there until it lapses.
    has_returned: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Its call has ended.
    Nobodys,
    /// Its call has a newer one, and waits behind it.
    BehindItself,
}

impl<M: Model> Inspector<M> {
    pub(super) fn new(
        plan: &Plan<M::Setup, M::Fault>,
        network: &Network,
        model: &Arc<M>,
        witness: &Arc<Witness>,
    ) -> Self {
        Self {
            model: Arc::clone(model),
            witness: Arc::clone(witness),
            ttl: plan.ttl,
            good: KEYS.into_iter().filter(|key| plan.is_good_for(key)).collect(),
            shows_removals: plan.shows_removals(),
            processes: plan.calls.len(),
            good_from: network.at(plan.until),
            lengthens_leases: plan.lengthens_leases(),
            sets_clock_back: plan.sets_clock_back(),
            outlasts_sessions: plan.events.iter().any(|(_, event)| event.lasts() >= plan.ttl),
            leaves_places: plan.leaves_places::<M>(),
            turns: BTreeMap::new(),
            removed: BTreeMap::new(),
            suspects: BTreeMap::new(),
        }
    }

    pub(super) async fn every_second(mut self) {
        loop {
            sleep(SECOND).await;
            let (model, witness) = (Arc::clone(&self.model), Arc::clone(&self.witness));
            let state = model.state();
            let mut seen = witness.seen();
            for key in KEYS {
                let queue = state.queue(key);
                if self.good.contains(key) {
                    self.look_at_turns(key, &queue, &mut seen);
                }
                if self.shows_removals {
                    self.look_at_removed(key, &queue, &mut seen);
                }
            }
            let suspects: Vec<Suspect> = KEYS.iter().flat_map(|key| self.suspects_of(key, &*state, &seen)).collect();
            self.judge(suspects, &mut seen);
        }
    }

    /// Whose turn it is has the lock soon: the first, and whoever may hold it beside those ahead.
    fn look_at_turns(&mut self, key: &'static str, queue: &[QueuedEntry], seen: &mut Seen) {
        let has_turn = |place: &usize| seen.lets_hold(&queue[..*place], seen.mode_of(&queue[*place]));
        let turns: Vec<&QueuedEntry> = (0..queue.len()).filter(has_turn).map(|place| &queue[place]).collect();
        self.turns.retain(|(lock, id), _| *lock != key || turns.iter().any(|entry| entry.id == *id));
        for entry in turns {
            let since = self.turns.entry((key, entry.id.clone())).or_insert_with(Instant::now);
            if seen.live.iter().any(|live| live.name == entry.name) {
                *since = Instant::now();
            }
            // A name that several calls share says nothing.
            // One that wants several locks waits for the others.
            let is_told = |call: &Pending| call.name == entry.name && !call.name.ends_with('.') && call.keys.len() == 1;
            if since.elapsed() > KNOWS_WITHIN && seen.pending.values().any(is_told) {
                let name = &entry.name;
                seen.find("not told of its turn", || format!("{name} may hold {key} for {KNOWS_WITHIN:?}: {queue:?}"));
            }
        }
    }

    /// Who holds an entry that was removed finds out soon: its watch begins with the first renewal of the hold.
    fn look_at_removed(&mut self, key: &'static str, queue: &[QueuedEntry], seen: &mut Seen) {
        for live in seen.live.iter().filter(|live| live.keys.contains(&key)).cloned().collect::<Vec<_>>() {
            if !live.guard.is_held() || queue.iter().any(|entry| entry.name == live.name) {
                self.removed.remove(&live.id);
            } else if self.removed.entry(live.id).or_insert_with(Instant::now).elapsed() > KNOWS_WITHIN + self.ttl / 3 {
                seen.find("not told of a removal", || format!("{} still believes in its hold of {key}", live.name));
            }
        }
    }

    fn suspects_of(&self, key: &'static str, state: &dyn State, seen: &Seen) -> Vec<Suspect> {
        let queue = state.queue(key);
        let mut suspects = Vec::new();
        let is_meant =
            |call: &&Pending| call.keys.contains(&key) && !call.name.ends_with('.') && !seen.is_stopped(call.process);
        for call in seen.pending.values().filter(is_meant) {
            // The call waits with the newest of its entries. An older one may have come back behind that, by a late request.
            let own: Vec<&QueuedEntry> = queue.iter().filter(|entry| entry.name == call.name).collect();
            let newest = own.iter().enumerate().max_by_key(|(_, entry)| entry.number()).map_or(0, |(place, _)| place);
            suspects.extend(own[..newest].iter().map(|entry| Suspect::new(entry, Kind::BehindItself, state)));
        }
        for process in (0..self.processes).filter(|process| !seen.is_stopped(*process)) {
            if self.kept_until(process, key, seen).is_some_and(|until| until + 4 * SECOND > Instant::now()) {
                continue;
            }
            let own = queue.iter().filter(|entry| entry.name.starts_with(&format!("c{process}.")));
            let is_wanted = |entry: &&QueuedEntry| {
                seen.pending.values().any(|call| call.name == entry.name)
                    || seen.live.iter().any(|live| live.name == entry.name)
            };
            suspects
                .extend(own.filter(|entry| !is_wanted(entry)).map(|entry| Suspect::new(entry, Kind::Nobodys, state)));
        }
        suspects
    }

    /// Until when the process may have entries of that lock without a call.
    fn kept_until(&self, process: usize, key: &'static str, seen: &Seen) -> Option<Instant> {
        let Kept { until, longest } = seen.kept(process, key)?;
        Some(if self.lengthens_leases { until.max(self.good_from + longest) } else { until })
    }

    fn judge(&mut self, suspects: Vec<Suspect>, seen: &mut Seen) {
        self.suspects.retain(|id, _| suspects.iter().any(|suspect| suspect.id == *id));
        let is_good = Instant::now() > self.good_from + SETTLES_WITHIN;
        // Orphans are withdrawn with the next renewal; on a bad network a withdrawal may fail now and then.
        let limit = if is_good { 3 * SECOND } else { 8 * SECOND } + self.ttl / 3;
        // A snapshot brings back entries of sessions that were over, for as long as their leases last.
        let restored = if self.lengthens_leases { self.ttl } else { Duration::ZERO };
        let lapsed = if self.outlasts_sessions { limit.max(self.ttl + 3 * SECOND) } else { limit };
        let limit_of = |suspect: &Suspect| match suspect.kind {
            _ if suspect.has_returned => limit.max(self.ttl + 3 * SECOND),
            Kind::BehindItself => limit + restored,
            Kind::Nobodys => lapsed,
        };
        for suspect in suspects {
            let since = *self.suspects.entry(suspect.id.clone()).or_insert_with(Instant::now);
            let limit = limit_of(&suspect);
            let Suspect { id, name, kind, .. } = suspect;
            if since.elapsed() < limit {
                continue;
            }
            match kind {
                _ if self.leaves_places => {}
                Kind::Nobodys if is_good => {
                    seen.find("nobody's entry", || format!("{name} has left {id} there for {limit:?}"));
                }
                Kind::BehindItself if self.sets_clock_back && !is_good => {}
                Kind::BehindItself => {
                    seen.find("behind itself", || format!("{name} waits behind its own {id} for {limit:?}"));
                }
                Kind::Nobodys => {}
            }
        }
    }
}

impl Suspect {
    fn new(entry: &QueuedEntry, kind: Kind, state: &dyn State) -> Self {
        let has_returned = state.has_returned(&entry.id);
        Self { id: entry.id.clone(), name: entry.name.clone(), kind, has_returned }
    }
}
