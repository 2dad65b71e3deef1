//! Who of some lines can never go on, as arithmetic.
//!
//! Everybody who may still be granted what it waits for is taken away, again and again, by the [one rule](Ahead) of all queues:
//! what remains is stuck. A hold is as long as somebody stuck is under it. Who may end by itself stops nobody for ever: a
//! holder without a record or one that waits for nothing, and a wait with a limit.
//!
//! A node is a hold, by its lock and record, and never a process: what one task of a process holds and another one waits for is no
//! edge.

use crate::contract::{Line, Listed};
use crate::values::holder::{Holder, Under};
use crate::values::key::Key;
use crate::values::mode::{Ahead, Mode};
use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{BTreeSet, VecDeque};

/// Who waits for what without a limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting<'a> {
    pub(super) record: &'a Holder,
    pub(super) keys: &'a [Key],
}

/// Requests that wait for each other, whatever else happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Circle {
    /// A way around, backwards: from who waits for the searching request to who keeps that waiting.
    pub(super) steps: Vec<Step>,
    /// The first of the steps waits for a hold that the searching request is under, and not only behind it.
    pub(super) holds: bool,
    /// All of them that are under a hold, and so look for the circle.
    pub(super) waiters: Vec<Holder>,
}

/// A hold, as records name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HoldName {
    pub(super) key: String,
    instance: String,
    id: u64,
}

impl HoldName {
    fn of(holder: &Holder, under: &Under) -> Self {
        Self { key: under.key.clone(), instance: holder.instance.to_string(), id: under.id }
    }

    /// The holds that a request is under.
    pub(super) fn all_around(request: &Holder) -> impl Iterator<Item = Self> {
        request.under.iter().map(|under| Self::of(request, under))
    }

    /// The hold of `key` by this holder, if it is one.
    fn by(key: &str, holder: &Holder) -> Self {
        Self { key: key.to_owned(), instance: holder.instance.to_string(), id: holder.id }
    }

    pub(super) fn is(&self, listed: &Listed) -> bool {
        listed.id == self.id && listed.instance == self.instance && listed.is_known()
    }
}

/// One place of a circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The lock for which it waits.
    pub(super) key: String,
    pub(super) waiter: Holder,
    /// The next one waits for a hold that it is under, and not only behind it.
    pub(super) holds: bool,
}

/// A request that waits, by its number among all that wait.
type Node = usize;

/// A place in a line.
#[derive(Debug)]
struct Place<'a> {
    record: &'a Holder,
    /// Of one that waits.
    node: Option<Node>,
    /// The store shows it as a holder: before all waiters, whether or not it queued before them.
    is_shown_first: bool,
}

/// Who waits behind whom.
#[derive(Debug)]
pub(super) struct Graph<'a> {
    /// Each with the places of its queue, in order.
    lines: Vec<(&'a str, Vec<Place<'a>>)>,
    /// All that wait without a limit, the searching request first.
    waiters: Vec<&'a Holder>,
}

/// An edge: the one that waits, the lock, whom it waits for, and whether that one holds the lock.
#[derive(Clone, Copy, Debug)]
struct Edge<'a> {
    from: Node,
    key: &'a str,
    to: Node,
    holds: bool,
}

const OWN: Node = 0;

impl<'a> Graph<'a> {
    pub(super) fn new(waiting: Waiting<'a>, lines: impl Iterator<Item = &'a Line>) -> Self {
        let lines: Vec<&'a Line> = lines.collect();
        let mut nodes = BTreeMap::from([(name(waiting.record), OWN)]);
        let mut waiters = vec![waiting.record];
        for waiter in lines.iter().flat_map(|line| &line.waiters).filter(|waiter| waiter.is_known()) {
            nodes.entry(name(waiter)).or_insert_with(|| {
                waiters.push(waiter);
                waiters.len() - 1
            });
        }
        let place = |listed: &'a Listed, is_shown_first| {
            // A store may show a request for several locks as the holder of one where it is first: it has none before it has all.
            let node = nodes.get(&name(listed)).filter(|_| listed.is_known()).copied();
            // A wait with a limit ends by itself.
            let is_endless = node.is_none() || listed.limit_ms == 0;
            is_endless.then_some(Place { record: listed, node, is_shown_first })
        };
        let places = |line: &'a Line| {
            let (holders, waiters) = (line.holders.iter(), line.waiters.iter());
            let holders = holders.filter_map(|holder| place(holder, true));
            let mut places: Vec<Place<'a>> = holders.chain(waiters.filter_map(|waiter| place(waiter, false))).collect();
            // An earlier entry of a request may be on its way out, which ends by itself: its position is the last one.
            let mut seen = BTreeSet::new();
            let mut is_last: Vec<bool> =
                places.iter().rev().map(|place| place.node.is_none_or(|node| seen.insert(node))).collect();
            places.retain(|_| is_last.pop().unwrap_or(true));
            // It may be about to queue there.
            let is_wanted = waiting.keys.contains(&line.key);
            if is_wanted && !places.iter().any(|place| place.node == Some(OWN)) {
                places.push(Place { record: waiting.record, node: Some(OWN), is_shown_first: false });
            }
            (line.key.as_str(), places)
        };
        Self { lines: lines.into_iter().map(places).collect(), waiters }
    }

    /// The circle that the searching request is in.
    pub(super) fn circle(&self) -> Option<Circle> {
        let stuck = self.stuck();
        if !stuck.contains(&OWN) {
            return None;
        }
        let edges = self.edges(&stuck);
        let (ahead, behind) = (grouped(&edges, |edge| edge.from), grouped(&edges, |edge| edge.to));
        let (steps, holds) = self.way_around(&ahead)?;
        let (ahead, behind) = (reached(&ahead, |edge| edge.to), reached(&behind, |edge| edge.from));
        let waiters = ahead.intersection(&behind).map(|node| self.waiters[*node]);
        let waiters = waiters.filter(|waiter| !waiter.under.is_empty()).cloned().collect();
        Some(Circle { steps, holds, waiters })
    }

    /// Those who can never go on: the greatest set of which each one is kept waiting by others of it.
    fn stuck(&self) -> BTreeSet<Node> {
        let mut stuck: BTreeSet<Node> = (0..self.waiters.len()).collect();
        loop {
            let held = self.held(&stuck);
            let mut kept = BTreeSet::new();
            for (key, places) in &self.lines {
                let mut ahead = StuckAhead::default();
                for place in places {
                    if let Some(node) = place.node.filter(|_| ahead.keeps_waiting(place.record.mode())) {
                        kept.insert(node);
                    }
                    if is_stuck(place, key, &stuck, &held) {
                        ahead.push(place);
                    }
                }
            }
            let before = stuck.len();
            stuck.retain(|node| kept.contains(node));
            if stuck.len() == before {
                return stuck;
            }
        }
    }

    /// The holds that somebody stuck is under, each with all of them.
    fn held(&self, stuck: &BTreeSet<Node>) -> BTreeMap<HoldName, Vec<Node>> {
        let mut held = BTreeMap::<_, Vec<Node>>::new();
        for node in stuck {
            HoldName::all_around(self.waiters[*node]).for_each(|hold| held.entry(hold).or_default().push(*node));
        }
        held
    }

    /// From everybody stuck to those that keep it waiting: who is under the holds of its lock, and who is ahead of it, as far back
    /// as to one that is kept waiting by all before it.
    fn edges(&self, stuck: &BTreeSet<Node>) -> Vec<Edge<'a>> {
        let held = self.held(stuck);
        let mut edges = Vec::new();
        for (key, places) in &self.lines {
            let mut ahead = StuckAhead::default();
            let (mut under, mut queued) = (Vec::<(&Place<'a>, Node)>::new(), Vec::<(&Place<'a>, Node, bool)>::new());
            for place in places.iter().filter(|place| is_stuck(place, key, stuck, &held)) {
                let (key, mode) = (*key, place.record.mode());
                if let Some(from) = place.node {
                    let is_kept = ahead.keeps_waiting(mode);
                    if is_kept {
                        let of_holds = under.iter().filter(|(other, _)| is_ahead(other, mode));
                        edges.extend(of_holds.map(|(_, to)| Edge { from, key, to: *to, holds: true }));
                        for (other, to, is_kept) in queued.iter().rev().filter(|(other, ..)| is_ahead(other, mode)) {
                            let of = other.record.mode();
                            // Readers are in no reader's way.
                            if (of, mode) != (Mode::Shared, Mode::Shared) {
                                edges.push(Edge { from, key, to: *to, holds: false });
                                if *is_kept && of != Mode::Shared {
                                    break;
                                }
                            }
                        }
                    }
                    queued.push((place, from, is_kept));
                } else {
                    let tasks = held.get(&HoldName::by(key, place.record)).into_iter().flatten();
                    under.extend(tasks.map(|task| (place, *task)));
                }
                ahead.push(place);
            }
        }
        edges
    }

    /// A shortest way from the searching request back to it, and whether the last one waits for its holds.
    fn way_around(&self, edges: &BTreeMap<Node, Vec<Edge<'a>>>) -> Option<(Vec<Step>, bool)> {
        let mut by: BTreeMap<Node, Edge<'a>> = BTreeMap::new();
        let mut open = VecDeque::from([OWN]);
        while let Some(node) = open.pop_front() {
            for edge in edges.get(&node).into_iter().flatten() {
                if edge.to == OWN {
                    return Some((self.steps(*edge, &by)?, edge.holds));
                }
                if let Entry::Vacant(new) = by.entry(edge.to) {
                    new.insert(*edge);
                    open.push_back(edge.to);
                }
            }
        }
        None
    }

    /// The way that ends with `last`, backwards: who waits for the searching request is first.
    fn steps(&self, mut last: Edge<'a>, by: &BTreeMap<Node, Edge<'a>>) -> Option<Vec<Step>> {
        let mut steps = Vec::new();
        while last.from != OWN {
            let before = by.get(&last.from)?;
            let waiter = self.waiters[last.from].clone();
            steps.push(Step { key: last.key.to_owned(), waiter, holds: before.holds });
            last = *before;
        }
        Some(steps)
    }
}

/// Those stuck that are ahead of a place in a line.
#[derive(Debug, Default)]
struct StuckAhead<'g, 'a> {
    all: Ahead,
    /// Those of them that are shown first.
    first: Vec<&'g Place<'a>>,
}

impl<'g, 'a> StuckAhead<'g, 'a> {
    fn push(&mut self, place: &'g Place<'a>) {
        self.all.push(place.record.mode());
        if place.is_shown_first {
            self.first.push(place);
        }
    }

    /// Whether they keep a waiter of this mode waiting, whoever else ends.
    fn keeps_waiting(&self, mode: Mode) -> bool {
        let mut ahead = self.all;
        self.first.iter().filter(|place| !is_ahead(place, mode)).for_each(|place| ahead.remove(place.record.mode()));
        !ahead.let_hold(mode)
    }
}

/// Whether a place is known to be ahead of a waiter of this mode that a line shows after it: of several limits for the permits of a
/// lock, who has a greater one may hold one behind those who wait with a smaller.
fn is_ahead(place: &Place<'_>, waiter: Mode) -> bool {
    let may_be_behind =
        matches!((place.record.mode(), waiter), (Mode::Permits(of), Mode::Permits(limit)) if of > limit);
    !(place.is_shown_first && may_be_behind)
}

fn is_stuck(place: &Place<'_>, key: &str, stuck: &BTreeSet<Node>, held: &BTreeMap<HoldName, Vec<Node>>) -> bool {
    match place.node {
        Some(node) => stuck.contains(&node),
        None => place.record.is_known() && held.contains_key(&HoldName::by(key, place.record)),
    }
}

fn name(request: &Holder) -> (&str, u64) {
    (&request.instance, request.id)
}

fn grouped<'a>(edges: &[Edge<'a>], end: impl Fn(&Edge<'a>) -> Node) -> BTreeMap<Node, Vec<Edge<'a>>> {
    let mut grouped = BTreeMap::<Node, Vec<Edge<'a>>>::new();
    edges.iter().for_each(|edge| grouped.entry(end(edge)).or_default().push(*edge));
    grouped
}

/// Everybody who can be reached from the searching request.
fn reached<'a>(edges: &BTreeMap<Node, Vec<Edge<'a>>>, end: impl Fn(&Edge<'a>) -> Node) -> BTreeSet<Node> {
    let (mut reached, mut open) = (BTreeSet::from([OWN]), vec![OWN]);
    while let Some(node) = open.pop() {
        let ends = edges.get(&node).into_iter().flatten().map(&end);
        open.extend(ends.filter(|to| reached.insert(*to)));
    }
    reached
}
