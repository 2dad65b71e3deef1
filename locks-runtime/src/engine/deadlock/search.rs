//! The search for a circle of waits through the lines of a store: whoever waits for a hold, and is under others that are waited
//! for in turn.
//!
//! A node is a hold, by its lock and record, and never a process: what one task of a process holds and another one waits for is no
//! edge. A holder without a record, or one that is gone, is waited for by nobody who could be in a circle.

use crate::contract::{Line, Listed};
use crate::values::holder::{Holder, Under};
use crate::values::key::Key;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;

/// How many lines one search reads at most.
const MOST_LINES: usize = 64;

/// A hold, as records name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HoldName {
    key: String,
    instance: String,
    id: u64,
}

impl HoldName {
    fn of(holder: &Holder, under: &Under) -> Self {
        Self { key: under.key.clone(), instance: holder.instance.to_string(), id: under.id }
    }

    fn is(&self, listed: &Listed) -> bool {
        listed.id == self.id && listed.instance == self.instance && listed.is_known()
    }
}

/// A hold of the circle, and who waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) held: HoldName,
    pub(super) waiter: Holder,
}

impl Step {
    pub(super) fn key(&self) -> &str {
        &self.held.key
    }
}

/// Who waits for what without a limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting<'a> {
    pub(super) record: &'a Holder,
    pub(super) keys: &'a [Key],
}

/// The circle that `waiting` is in, if it is in one: from a hold that it is under, to whoever holds what it waits for. `look` reads
/// the line of a lock.
pub(super) async fn circle<L, F>(waiting: Waiting<'_>, look: L) -> Option<Vec<Step>>
where
    L: Fn(Key) -> F,
    F: Future<Output = Option<Line>>,
{
    let mut lines = BTreeMap::<String, Option<Line>>::new();
    let mut wanted = Vec::new();
    for key in waiting.keys {
        let line = look(key.clone()).await;
        wanted.extend(line.iter().flat_map(|line| in_the_way(line, waiting.record)));
        lines.insert(key.to_string(), line);
    }
    let own = waiting.record.under.iter().map(|under| HoldName::of(waiting.record, under));
    let mut open: VecDeque<(HoldName, Option<usize>)> = own.map(|hold| (hold, None)).collect();
    let mut reached: BTreeSet<HoldName> = open.iter().map(|(hold, _)| hold.clone()).collect();
    let mut steps: Vec<(Step, Option<usize>)> = Vec::new();
    while let Some((hold, before)) = open.pop_front() {
        if !lines.contains_key(&hold.key) {
            let key = Key::new(&hold.key).ok().filter(|_| lines.len() < MOST_LINES)?;
            lines.insert(hold.key.clone(), look(key).await);
        }
        let Some(Some(line)) = lines.get(&hold.key) else { continue };
        for waiter in waiters_for(line, &hold) {
            steps.push((Step { held: hold.clone(), waiter: waiter.holder.clone() }, before));
            let step = steps.len() - 1;
            for next in waiter.under.iter().map(|under| HoldName::of(waiter, under)) {
                if wanted.contains(&next) {
                    return Some(way_to(&steps, step));
                }
                if reached.insert(next.clone()) {
                    open.push_back((next, Some(step)));
                }
            }
        }
    }
    None
}

fn way_to(steps: &[(Step, Option<usize>)], last: usize) -> Vec<Step> {
    let mut way = Vec::new();
    let mut at = Some(last);
    while let Some((step, before)) = at.and_then(|at| steps.get(at)) {
        way.push(step.clone());
        at = *before;
    }
    way.reverse();
    way
}

/// The holds of the line that keep whoever waits in it, or is about to, waiting.
fn in_the_way<'a>(line: &'a Line, record: &'a Holder) -> Vec<HoldName> {
    let is_in_line = line.waiters.iter().any(|waiter| is_same(waiter, record));
    let holds = line.holders.iter().filter(|holder| !is_one_of_many(line, holder)).filter_map(|holder| {
        let name = HoldName { key: line.key.to_string(), instance: holder.instance.to_string(), id: holder.id };
        let waits = !is_in_line || waiters_for(line, &name).any(|waiter| is_same(waiter, record));
        (holder.is_known() && waits).then_some(name)
    });
    holds.collect()
}

/// Those of the line that wait until `hold` is released: whom it keeps waiting, and who is behind them.
fn waiters_for<'a>(line: &'a Line, hold: &HoldName) -> impl Iterator<Item = &'a Listed> + use<'a> {
    let holder = line.holders.iter().find(|holder| hold.is(holder)).filter(|holder| !is_one_of_many(line, holder));
    let mut is_kept = false;
    let waiters = holder.into_iter().flat_map(move |holder| line.waiters.iter().map(move |waiter| (holder, waiter)));
    waiters.filter_map(move |(holder, waiter)| {
        // Readers are beside readers, until somebody else waits between them.
        is_kept |= !(holder.mode == "shared" && waiter.mode == "shared");
        is_kept.then_some(waiter)
    })
}

/// Any of several permits may come back: nobody waits for this one alone.
fn is_one_of_many(line: &Line, holder: &Listed) -> bool {
    holder.mode == "permit" && line.holders.len() > 1
}

/// Whether these are the same request.
pub(super) fn is_same(one: &Holder, other: &Holder) -> bool {
    one.id == other.id && one.instance == other.instance && one.is_known()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::future::{Future, ready};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    const LOCKS: usize = 4;

    /// A request: for one lock, under holds, as a reader or a writer.
    #[derive(Clone, Debug)]
    struct Request {
        id: u64,
        lock: usize,
        is_reader: bool,
        under: Vec<u64>,
    }

    impl Request {
        fn holder(&self, all: &[Self]) -> Holder {
            let name = |id: &u64| {
                let lock = all.iter().find(|other| other.id == *id).map(|other| other.lock);
                Under::new(lock.unwrap_or(LOCKS).to_string(), *id)
            };
            let mode = if self.is_reader { "shared" } else { "exclusive" };
            let under = self.under.iter().map(name).collect();
            Holder {
                version: 1,
                instance: "one client".into(),
                id: self.id,
                mode: mode.into(),
                under,
                ..Holder::default()
            }
        }
    }

    /// Those of the lock, in order: who holds it, and who waits.
    fn queue(all: &[Request], lock: usize) -> (Vec<&Request>, Vec<&Request>) {
        let queue: Vec<&Request> = all.iter().filter(|request| request.lock == lock).collect();
        let readers = queue.iter().take_while(|request| request.is_reader).count();
        let (holders, waiters) = queue.split_at(readers.max(1).min(queue.len()));
        (holders.to_vec(), waiters.to_vec())
    }

    /// Whether `waiter` waits for itself: forwards, from the holders of its lock to what those wait for that are under them.
    fn waits_for_itself(all: &[Request], waiter: &Request) -> bool {
        let (mut open, mut seen) = (vec![waiter.lock], BTreeSet::new());
        while let Some(lock) = open.pop() {
            for holder in queue(all, lock).0 {
                if waiter.under.contains(&holder.id) {
                    return true;
                }
                let waits = |other: &&Request| queue(all, other.lock).1.iter().any(|one| one.id == other.id);
                let under = all.iter().filter(|other| other.under.contains(&holder.id)).filter(waits);
                open.extend(under.map(|other| other.lock).filter(|next| seen.insert(*next)));
            }
        }
        false
    }

    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("every line is there at once"),
        }
    }

    proptest! {
        /// Requests for one of four locks, under some of the holds there are.
        #[test]
        fn a_circle_is_found_by_all_that_are_in_it_and_by_nobody_else(
            asked in prop::collection::vec((0..LOCKS, prop::bool::weighted(0.3), 0..32_u8), 1..16)
        ) {
            let mut all: Vec<Request> = Vec::new();
            for (id, (lock, is_reader, under)) in (1..).zip(asked) {
                let holders = (0..LOCKS).flat_map(|lock| queue(&all, lock).0).filter(|holder| holder.lock != lock);
                let under = holders.enumerate().filter(|(nth, _)| under >> (nth % 5) & 1 == 1).map(|(_, holder)| holder.id).collect();
                all.push(Request { id, lock, is_reader, under });
            }
            let line = |key: Key| {
                let lock = key.as_str().parse().unwrap();
                let (holders, waiters) = queue(&all, lock);
                let records = |requests: Vec<&Request>| requests.iter().map(|request| request.holder(&all)).collect::<Vec<_>>();
                ready((!holders.is_empty()).then(|| Line::new(key, records(holders), records(waiters))))
            };
            for lock in 0..LOCKS {
                for waiter in queue(&all, lock).1 {
                    let (record, keys) = (waiter.holder(&all), [Key::new(lock.to_string()).unwrap()]);
                    let found = now(circle(Waiting { record: &record, keys: &keys }, line));
                    prop_assert_eq!(found.is_some(), waits_for_itself(&all, waiter), "{:?} of {:?}: {:?}", waiter, all, found);
                }
            }
        }
    }
}
