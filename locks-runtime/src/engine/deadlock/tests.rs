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

/// A request: for one lock, under holds of its task.
#[derive(Clone, Debug)]
struct Request {
    id: u64,
    lock: usize,
    mode: Mode,
    under: Vec<u64>,
    /// It gives up some time.
    is_limited: bool,
}

impl Request {
    fn key(&self) -> Key {
        key(self.lock)
    }

    fn holder(&self, all: &[Self]) -> Holder {
        let of = |id: &u64| all.iter().find(|other| other.id == *id).map(|other| Under::new(other.key().as_str(), *id));
        let under = if self.is_limited { Vec::new() } else { self.under.iter().filter_map(of).collect() };
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

/// Those of the lock, in order: who holds it, and who waits.
fn queue(all: &[Request], lock: usize) -> (Vec<&Request>, Vec<&Request>) {
    let mut ahead = Ahead::default();
    all.iter().filter(|request| request.lock == lock).partition(|request| {
        let holds = ahead.let_hold(request.mode);
        ahead.push(request.mode);
        holds
    })
}

fn waits(all: &[Request], request: &Request) -> bool {
    queue(all, request.lock).1.iter().any(|waiter| waiter.id == request.id)
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

/// What `waiter` finds.
fn found(all: &[Request], waiter: &Request) -> Option<Circle> {
    let line = |key: Key| {
        let (holders, waiters) = queue(all, key.as_str().parse().unwrap());
        let records = |requests: Vec<&Request>| requests.iter().map(|request| request.holder(all)).collect::<Vec<_>>();
        ready((!holders.is_empty()).then(|| Line::new(key, records(holders), records(waiters))))
    };
    let (record, keys) = (waiter.holder(all), [waiter.key()]);
    now(circle(Waiting { record: &record, keys: &keys }, line))
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

/// Requests for one of the locks, one after the other, each under some of the holds there are whose task does not wait yet. Of one
/// limit for the permits of a lock, or of several.
fn requests(is_one_limit: bool) -> impl Strategy<Value = Vec<Request>> {
    let one = (0..LOCKS, modes(), 0..64_u8, prop::bool::weighted(0.15));
    prop::collection::vec(one, 1..18).prop_map(move |asked| {
        let mut all: Vec<Request> = Vec::new();
        for (id, (lock, mode, under, is_limited)) in (1..).zip(asked) {
            let mode = match mode {
                Mode::Permits(_) if is_one_limit => Mode::Permits([2, 1, 2, 3][lock]),
                other => other,
            };
            let busy: BTreeSet<u64> =
                all.iter().filter(|request| waits(&all, request)).flat_map(|waiter| waiter.under.clone()).collect();
            // A hold comes with those that it is under itself; one of the same lock would be joined, or refused at once.
            let around = |holder: &Request| [holder.under.as_slice(), &[holder.id]].concat();
            let is_of_lock = |id: &u64| all.iter().any(|other| other.id == *id && other.lock == lock);
            let holders = (0..LOCKS).flat_map(|lock| queue(&all, lock).0).map(around);
            let free = holders.filter(|around| !around.iter().any(|id| busy.contains(id) || is_of_lock(id)));
            let drawn = free.enumerate().filter(|(nth, _)| under >> (nth % 6) & 1 == 1).flat_map(|(_, around)| around);
            let under = drawn.collect::<BTreeSet<u64>>().into_iter().collect();
            all.push(Request { id, lock, mode, under, is_limited });
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
            if let Some(circle) = found(&all, waiter) {
                prop_assert!(left.iter().any(|request| request.id == waiter.id), "{waiter:?} of {all:?}: {circle:?}");
                prop_assert!(circle.waiters.iter().all(|one| left.iter().any(|request| request.id == one.id)), "{circle:?}");
                let text = deadlock(&waiter.holder(&all), &[waiter.key()], &circle).to_string();
                prop_assert!(text.contains("which waits for") && text.contains("one order everywhere"), "{text}");
            }
        }
    }

    /// Whoever gives way does so with its task: in the end everybody has gone on. (Lines do not show whether a holder came before
    /// a waiter: with several limits some circles are not found.)
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

/// Two tasks have the two permits of one lock, and each wants what the other has beside it.
#[test]
fn a_circle_through_all_permits_is_found_and_one_through_some_is_not() {
    let permit = |id, limit| Request { id, lock: 0, mode: Mode::Permits(limit), under: vec![], is_limited: false };
    let hold = |id, lock, under| Request { id, lock, mode: Mode::Exclusive, under, is_limited: false };
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
    let reader = |id, lock, under| Request { id, lock, mode: Mode::Shared, under, is_limited: false };
    let writer = |is_limited| Request { id: 4, lock: 0, mode: Mode::Exclusive, under: vec![], is_limited };
    let circle = |is_limited| {
        let (one, other) = (reader(1, 0, vec![]), Request { mode: Mode::Exclusive, ..reader(2, 1, vec![]) });
        vec![one, other, Request { id: 3, ..reader(3, 1, vec![1]) }, writer(is_limited), reader(5, 0, vec![2])]
    };
    assert_eq!(refused(&circle(false)).iter().map(|request| request.id).collect::<Vec<_>>(), [5]);
    assert!(refused(&circle(true)).is_empty());
}
