//! Who of some lines can never go on, as arithmetic.
//!
//! Everybody who may still be granted what it waits for is taken away, again and again, by the [one rule](Mode::holds_behind) of all queues:
//! what remains is stuck. A hold is as long as somebody stuck is under it. Who may end by itself stops nobody for ever: a
//! holder without a record or one that waits for nothing, and a wait with a limit.
//!
//! A node is a hold, by its lock and record, and never a process: what one task of a process holds and another one waits for is no
//! edge.

use crate::contract::{Line, Listed};
use crate::values::holder::{Holder, Under};
use crate::values::key::Key;
use crate::values::mode::Mode;
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

/// Whether these are the same request.
pub(super) fn is_same(one: &Holder, other: &Holder) -> bool {
    one.id == other.id && one.instance == other.instance && one.is_known()
}

/// A request that waits, by its number among all that wait.
type Node = usize;

/// A place in a line.
#[derive(Debug)]
enum Place<'a> {
    Holder(&'a Holder),
    Waiter(&'a Holder, Node),
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
        let mut graph = Self { lines: Vec::new(), waiters: vec![waiting.record] };
        let mut nodes = BTreeMap::from([(name(waiting.record), OWN)]);
        for line in lines {
            let mut places: Vec<Place<'a>> = line.holders.iter().map(|holder| Place::Holder(holder)).collect();
            for waiter in line.waiters.iter().filter(|waiter| waiter.is_known() && waiter.limit_ms == 0) {
                let node = *nodes.entry(name(waiter)).or_insert_with(|| {
                    graph.waiters.push(waiter);
                    graph.waiters.len() - 1
                });
                places.push(Place::Waiter(waiter, node));
            }
            // It may be about to queue there.
            let is_wanted = waiting.keys.contains(&line.key);
            if is_wanted && !line.waiters.iter().any(|waiter| is_same(waiter, waiting.record)) {
                places.push(Place::Waiter(waiting.record, OWN));
            }
            graph.lines.push((line.key.as_str(), places));
        }
        graph
    }

    /// A way around the circle that the searching request is in, and all who are in it and look for it.
    pub(super) fn circle(&self) -> Option<Circle> {
        let stuck = self.stuck();
        if !stuck.contains(&OWN) {
            return None;
        }
        let edges = self.edges(&stuck);
        let (steps, holds) = self.way_around(&edges)?;
        let (ahead, behind) =
            (reached(&edges, |edge| (edge.from, edge.to)), reached(&edges, |edge| (edge.to, edge.from)));
        let waiters =
            ahead.intersection(&behind).map(|node| self.waiters[*node]).filter(|waiter| !waiter.under.is_empty());
        let waiters = waiters.cloned().collect();
        Some(Circle { steps, holds, waiters })
    }

    /// Those who can never go on: the greatest set of which each one is kept waiting by others of it.
    fn stuck(&self) -> BTreeSet<Node> {
        let mut stuck: BTreeSet<Node> = (0..self.waiters.len()).collect();
        loop {
            let held = self.held(&stuck);
            let kept: BTreeSet<Node> = self.kept(&stuck, &held).map(|(_, node, _)| node).collect();
            let before = stuck.len();
            stuck.retain(|node| kept.contains(node));
            if stuck.len() == before {
                return stuck;
            }
        }
    }

    /// Everybody in a line whom those stuck that are ahead of it there keep waiting: the lock, the node, and those.
    fn kept<'g>(
        &'g self,
        stuck: &'g BTreeSet<Node>,
        held: &'g BTreeMap<HoldName, Vec<Node>>,
    ) -> impl Iterator<Item = (&'a str, Node, Vec<&'g Place<'a>>)> {
        self.lines.iter().flat_map(move |(key, places)| {
            let mut ahead: Vec<&Place<'a>> = Vec::new();
            let mut kept = Vec::new();
            for place in places {
                if let Place::Waiter(waiter, node) = place {
                    let of = mode(waiter);
                    let in_front: Vec<_> = ahead.iter().copied().filter(|other| other.is_ahead_of(of)).collect();
                    if !of.holds_behind(in_front.iter().map(|other| mode(other.record()))) {
                        kept.push((*key, *node, in_front));
                    }
                }
                if is_stuck(place, key, stuck, held) {
                    ahead.push(place);
                }
            }
            kept
        })
    }

    /// The holds that somebody stuck is under, each with all of them.
    fn held(&self, stuck: &BTreeSet<Node>) -> BTreeMap<HoldName, Vec<Node>> {
        let mut held = BTreeMap::<_, Vec<Node>>::new();
        for node in stuck {
            HoldName::all_around(self.waiters[*node]).for_each(|hold| held.entry(hold).or_default().push(*node));
        }
        held
    }

    /// From everybody stuck to those that keep it waiting: who is under the holds of its lock, and who is ahead of it.
    fn edges(&self, stuck: &BTreeSet<Node>) -> Vec<Edge<'a>> {
        let held = self.held(stuck);
        let mut edges = Vec::new();
        for (key, from, ahead) in self.kept(stuck, &held).filter(|(_, node, _)| stuck.contains(node)) {
            for place in ahead {
                match place {
                    Place::Holder(holder) => {
                        let under = held.get(&place_name(key, holder)).into_iter().flatten();
                        edges.extend(under.map(|to| Edge { from, key, to: *to, holds: true }));
                    }
                    // Readers are in no reader's way.
                    Place::Waiter(other, _) if [other, self.waiters[from]].map(mode) == [Mode::Shared; 2] => {}
                    Place::Waiter(_, to) => edges.push(Edge { from, key, to: *to, holds: false }),
                }
            }
        }
        edges
    }

    /// A shortest way from the searching request back to it, and whether the last one waits for its holds.
    fn way_around(&self, edges: &[Edge<'a>]) -> Option<(Vec<Step>, bool)> {
        let mut by: BTreeMap<Node, Edge<'a>> = BTreeMap::new();
        let mut open = VecDeque::from([OWN]);
        while let Some(node) = open.pop_front() {
            for edge in edges.iter().filter(|edge| edge.from == node) {
                if edge.to == OWN {
                    // Backwards: who waits for a hold of the searching request is first.
                    let mut steps = Vec::new();
                    let mut last = *edge;
                    while last.from != OWN {
                        let before = by.get(&last.from)?;
                        steps.push(Step {
                            key: last.key.to_owned(),
                            waiter: self.waiters[last.from].clone(),
                            holds: before.holds,
                        });
                        last = *before;
                    }
                    return Some((steps, edge.holds));
                }
                if let Entry::Vacant(new) = by.entry(edge.to) {
                    new.insert(*edge);
                    open.push_back(edge.to);
                }
            }
        }
        None
    }
}

impl Place<'_> {
    fn record(&self) -> &Holder {
        match self {
            Self::Holder(record) | Self::Waiter(record, _) => record,
        }
    }

    /// Whether it is known to be ahead of a waiter of this mode that comes after it here: of several limits for the permits of a
    /// lock, who has a greater one may hold one behind those who wait with a smaller.
    fn is_ahead_of(&self, waiter: Mode) -> bool {
        match (self, waiter) {
            (Self::Holder(holder), Mode::Permits(limit)) => !matches!(mode(holder), Mode::Permits(of) if of > limit),
            _ => true,
        }
    }
}

fn is_stuck(place: &Place<'_>, key: &str, stuck: &BTreeSet<Node>, held: &BTreeMap<HoldName, Vec<Node>>) -> bool {
    match place {
        Place::Holder(holder) => holder.is_known() && held.contains_key(&place_name(key, holder)),
        Place::Waiter(_, node) => stuck.contains(node),
    }
}

fn place_name(key: &str, holder: &Holder) -> HoldName {
    HoldName { key: key.to_owned(), instance: holder.instance.to_string(), id: holder.id }
}

fn name(request: &Holder) -> (&str, u64) {
    (&request.instance, request.id)
}

/// What a record says of its mode: foreign clients and whatever is unknown are exclusive.
fn mode(record: &Holder) -> Mode {
    match &*record.mode {
        "shared" => Mode::Shared,
        "permit" => Mode::Permits(record.permits.max(1)),
        _ => Mode::Exclusive,
    }
}

/// Everybody who can be reached from the searching request.
fn reached(edges: &[Edge<'_>], ends: impl Fn(&Edge<'_>) -> (Node, Node)) -> BTreeSet<Node> {
    let mut next = BTreeMap::<Node, Vec<Node>>::new();
    edges.iter().map(ends).for_each(|(from, to)| next.entry(from).or_default().push(to));
    let (mut reached, mut open) = (BTreeSet::from([OWN]), vec![OWN]);
    while let Some(node) = open.pop() {
        let ends = next.get(&node).into_iter().flatten();
        open.extend(ends.filter(|to| reached.insert(**to)));
    }
    reached
}
