//! Random nests of readers, writers and permits, with and without limits, against a world in which whoever can go on does.

use super::search::circle;
use super::stuck::{Circle, Waiting};
use super::{deadlock, is_youngest};
use crate::contract::Line;
use crate::values::holder::{Holder, Under};
use crate::values::key::Key;
use crate::values::mode::{Ahead, Mode};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

const LOCKS: usize = 4;

/// A request: for one lock or two at one moment, under holds of its task.
#[derive(Clone, Debug)]
struct Request {
    id: u64,
    locks: Vec<usize>,
    mode: Mode,
    under: Vec<u64>,
    /// It gives up some time.
    is_limited: bool,
}

impl Request {
    fn keys(&self) -> Vec<Key> {
        self.locks.iter().map(|lock| key(*lock)).collect()
    }

    fn holder(&self, all: &[Self]) -> Holder {
        let of = |id: &u64| all.iter().find(|other| other.id == *id).map_or_else(Vec::new, Request::keys);
        let named = |id: &u64| of(id).into_iter().map(|key| Under::new(key.as_str(), *id)).collect::<Vec<_>>();
        let under = if self.is_limited { Vec::new() } else { self.under.iter().flat_map(named).collect() };
        Holder {
            version: 1,
            name: format!("request {}", self.id).into(),
            instance: "one client".into(),
            id: self.id,
            mode: self.mode.name().into(),
            permits: if let Mode::Permits(limit) = self.mode { limit } else { 0 },
            requested_at_ms: self.id,
            under,
            limit_ms: if self.is_limited { 1000 } else { 0 },
            ..Holder::default()
        }
    }
}

fn key(lock: usize) -> Key {
    Key::new(lock.to_string()).unwrap()
}

/// Those of the lock, in order: who holds it as far as this lock is concerned, and who does not.
fn queue(all: &[Request], lock: usize) -> (Vec<&Request>, Vec<&Request>) {
    let mut ahead = Ahead::default();
    all.iter().filter(|request| request.locks.contains(&lock)).partition(|request| {
        let holds = ahead.let_hold(request.mode);
        ahead.push(request.mode);
        holds
    })
}

/// Who has several locks has them all at one moment.
fn waits(all: &[Request], request: &Request) -> bool {
    request.locks.iter().any(|lock| queue(all, *lock).1.iter().any(|waiter| waiter.id == request.id))
}

/// Everybody who holds the lock.
fn holders(all: &[Request], lock: usize) -> Vec<&Request> {
    queue(all, lock).0.into_iter().filter(|request| !waits(all, request)).collect()
}

/// Who is left when everybody has done what it can: bodies end that wait for nothing, and waits with a limit give up.
fn left_for_ever(all: &[Request]) -> Vec<Request> {
    let mut left = all.to_vec();
    loop {
        let is_under = |hold: &Request| left.iter().any(|inner| inner.under.contains(&hold.id));
        let goes = left.iter().position(|request| match waits(&left, request) {
            true => request.is_limited,
            false => !is_under(request),
        });
        match goes {
            Some(goes) => drop(left.remove(goes)),
            None => return left,
        }
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("every line is there at once"),
    }
}

/// How a store shows a request for several locks that waits for one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    /// As a waiter in every line.
    Waiter,
    /// As the holder of those where it is first.
    HolderWhereItIsFirst,
}

/// What `waiter` finds in the lines of `all`.
fn found_in(all: &[Request], waiter: &Request, shows: Shows) -> Option<Circle> {
    let line = |key: Key| {
        let (mut holders, others) = queue(all, key.as_str().parse().unwrap());
        let mut waiters: Vec<&Request> = Vec::new();
        if shows == Shows::Waiter {
            let (hold, wait) = holders.into_iter().partition(|request| !waits(all, request));
            (holders, waiters) = (hold, wait);
        }
        waiters.extend(others);
        waiters.sort_by_key(|request| request.id);
        let records = |requests: Vec<&Request>| requests.iter().map(|request| request.holder(all)).collect::<Vec<_>>();
        let is_free = holders.is_empty() && waiters.is_empty();
        ready((!is_free).then(|| Line::new(key, records(holders), records(waiters))))
    };
    let (record, keys) = (waiter.holder(all), waiter.keys());
    now(circle(Waiting { record: &record, keys: &keys }, line))
}

fn found(all: &[Request], waiter: &Request) -> Option<Circle> {
    found_in(all, waiter, Shows::Waiter)
}

/// Those who find that they can never go on, and have to give way.
fn refused(all: &[Request]) -> Vec<Request> {
    let gives_way = |waiter: &&Request| {
        let looks = waits(all, waiter) && !waiter.is_limited && !waiter.under.is_empty();
        looks && found(all, waiter).is_some_and(|circle| is_youngest(&waiter.holder(all), &circle.waiters))
    };
    all.iter().filter(gives_way).cloned().collect()
}

fn modes() -> impl Strategy<Value = Mode> {
    prop_oneof![3 => Just(Mode::Exclusive), 2 => Just(Mode::Shared), 4 => (1..4_u32).prop_map(Mode::Permits)]
}

/// Requests for one of the locks, one after the other, each under some of the holds there are whose task does not wait yet. `is_simple`: each for
/// one lock, and with one limit for all permits.
fn requests(is_simple: bool) -> impl Strategy<Value = Vec<Request>> {
    let second = if is_simple { Just(None).boxed() } else { prop::option::weighted(0.2, 0..LOCKS).boxed() };
    let locks = (0..LOCKS, second);
    let one = (locks, modes(), 0..64_u8, prop::bool::weighted(0.15));
    prop::collection::vec(one, 1..18).prop_map(move |asked| {
        let mut all: Vec<Request> = Vec::new();
        for (id, ((lock, other), mode, under, is_limited)) in (1..).zip(asked) {
            let locks: Vec<usize> = std::iter::once(lock).chain(other.filter(|other| *other != lock)).collect();
            let mode = match mode {
                Mode::Permits(_) if is_simple => Mode::Permits(2),
                other => other,
            };
            let busy: BTreeSet<u64> =
                all.iter().filter(|request| waits(&all, request)).flat_map(|waiter| waiter.under.clone()).collect();
            // A hold comes with those that it is under itself; one of the same lock would be joined, or refused at once.
            let around = |holder: &Request| [holder.under.as_slice(), &[holder.id]].concat();
            let is_of_lock = |id: &u64| {
                all.iter().any(|other| other.id == *id && other.locks.iter().any(|lock| locks.contains(lock)))
            };
            let holders = (0..LOCKS).flat_map(|lock| holders(&all, lock)).map(around);
            let free = holders.filter(|around| !around.iter().any(|id| busy.contains(id) || is_of_lock(id)));
            let drawn = free.enumerate().filter(|(nth, _)| under >> (nth % 6) & 1 == 1).flat_map(|(_, around)| around);
            let under = drawn.collect::<BTreeSet<u64>>().into_iter().collect();
            all.push(Request { id, locks, mode, under, is_limited });
        }
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn nobody_is_refused_who_could_go_on(all in requests(false)) {
        let left = left_for_ever(&all);
        for waiter in all.iter().filter(|request| waits(&all, request) && !request.is_limited) {
            if waiter.id == all.last().unwrap().id {
                // It sees the same before it has queued.
                let unqueued = found_in(&all[..all.len() - 1], waiter, Shows::Waiter);
                prop_assert_eq!(found(&all, waiter), unqueued);
            }
            let circles = [Shows::Waiter, Shows::HolderWhereItIsFirst].map(|shows| found_in(&all, waiter, shows));
            for circle in circles.into_iter().flatten() {
                prop_assert!(left.iter().any(|request| request.id == waiter.id), "{waiter:?} of {all:?}: {circle:?}");
                prop_assert!(circle.waiters.iter().all(|one| left.iter().any(|request| request.id == one.id)), "{circle:?}");
                let text = deadlock(&waiter.holder(&all), &waiter.keys(), &circle).to_string();
                prop_assert!(text.contains("which waits for") && text.contains("one order everywhere"), "{text}");
            }
        }
    }

    /// Whoever gives way does so with its task: in the end everybody has gone on. (Lines do not show whether a holder came before
    /// a waiter, nor in which others a request for several locks stands: with several limits, or locks, some circles are not found.)
    #[test]
    fn of_those_who_never_go_on_somebody_gives_way(mut all in requests(true)) {
        loop {
            all = left_for_ever(&all);
            if all.is_empty() {
                break;
            }
            let refused: BTreeSet<u64> = refused(&all).iter().map(|request| request.id).collect();
            prop_assert!(!refused.is_empty(), "they wait for ever: {all:?}");
            all.retain(|request| !refused.contains(&request.id));
        }
    }
}

/// Its session was lost, or the store went back: an earlier entry of the same request is still there, and ends by itself.
#[test]
fn an_earlier_entry_of_a_request_is_no_circle() {
    let all = [one(1, &[1], vec![]), one(2, &[0], vec![1])];
    let record = all[1].holder(&all);
    let keys = all[1].keys();
    for (holders, waiters) in [(1, 1), (0, 2), (0, 3), (1, 2)] {
        let line = |key: Key| {
            let of = |count| vec![record.clone(); if keys.contains(&key) { count } else { 0 }];
            ready(Some(Line::new(key.clone(), of(holders), of(waiters))))
        };
        assert_eq!(now(circle(Waiting { record: &record, keys: &keys }, line)), None, "{holders}, {waiters}");
    }
}

/// Two tasks have the two permits of one lock, and each wants what the other has beside it.
#[test]
fn a_circle_through_all_permits_is_found_and_one_through_some_is_not() {
    let permit =
        |id, limit| Request { id, locks: vec![0], mode: Mode::Permits(limit), under: vec![], is_limited: false };
    let hold = |id, lock, under| Request { id, locks: vec![lock], mode: Mode::Exclusive, under, is_limited: false };
    let circle = |limit| {
        // 1 has a permit and waits for the lock that 3 has; 3 wants a permit.
        let inner = Request { under: vec![3], ..permit(5, limit) };
        vec![permit(1, limit), hold(3, 1, vec![]), hold(4, 1, vec![1]), inner]
    };
    assert_eq!(refused(&circle(1)).iter().map(|request| request.id).collect::<Vec<_>>(), [5]);
    // With two permits the inner one has got its own.
    assert!(refused(&circle(2)).is_empty());
    // Somebody else has it, who waits for nothing: it may come back.
    let mut with_another = circle(2);
    with_another.insert(0, permit(2, 2));
    assert!(refused(&with_another).is_empty());
    // That one waits for the same lock.
    with_another.push(hold(6, 1, vec![2]));
    assert_eq!(refused(&with_another).iter().map(|request| request.id).collect::<Vec<_>>(), [6]);
}

/// A writer that gives up some time separates a reader from another one only until then.
#[test]
fn a_wait_with_a_limit_keeps_nobody_waiting_for_ever() {
    let reader = |id, lock, under| Request { id, locks: vec![lock], mode: Mode::Shared, under, is_limited: false };
    let writer = |is_limited| Request { id: 4, locks: vec![0], mode: Mode::Exclusive, under: vec![], is_limited };
    let circle = |is_limited| {
        let (one, other) = (reader(1, 0, vec![]), Request { mode: Mode::Exclusive, ..reader(2, 1, vec![]) });
        vec![one, other, Request { id: 3, ..reader(3, 1, vec![1]) }, writer(is_limited), reader(5, 0, vec![2])]
    };
    assert_eq!(refused(&circle(false)).iter().map(|request| request.id).collect::<Vec<_>>(), [5]);
    assert!(refused(&circle(true)).is_empty());
}

/// A request for these locks, under these holds, without a limit.
fn one(id: u64, locks: &[usize], under: Vec<u64>) -> Request {
    Request { id, locks: locks.to_vec(), mode: Mode::Exclusive, under, is_limited: false }
}

/// A request for two locks is first for one of them, where some stores show it as the holder.
#[test]
fn a_circle_through_a_lock_that_nobody_has_yet_is_found() {
    // 3 wants the lock that 1 has beside another; the task of 1 wants that other.
    let all = [one(1, &[1], vec![]), one(2, &[2], vec![]), one(3, &[0, 1], vec![2]), one(4, &[0], vec![1])];
    for shows in [Shows::Waiter, Shows::HolderWhereItIsFirst] {
        for waiter in &all[2..] {
            let circle = found_in(&all, waiter, shows).unwrap();
            assert_eq!(circle.waiters.len(), 2, "{shows:?}: {circle:?}");
        }
    }
}

/// The youngest sees in no line that somebody waits behind the request for two locks: an older one gives way, later.
#[test]
fn a_circle_that_its_youngest_does_not_see_is_found_by_another() {
    let held = [one(1, &[2], vec![]), one(2, &[1, 2], vec![]), one(3, &[0], vec![])];
    let all = [held.as_slice(), &[one(4, &[1], vec![3]), one(5, &[0], vec![1])]].concat();
    let circle = found(&all, &all[3]).unwrap();
    assert_eq!(circle.waiters.iter().map(|waiter| waiter.id).collect::<Vec<_>>(), [4, 5]);
    assert!(found(&all, &all[4]).is_none() && refused(&all).is_empty());
}
