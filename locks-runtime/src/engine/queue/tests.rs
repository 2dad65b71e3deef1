//! What the queue promises, case by case.

use super::explored::request;
use super::*;
use crate::values::error::ErrorKind;
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::options::Options;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn lock(key_name: &str) -> QueueName {
    QueueName::Lock(key(key_name))
}

fn asked(key_name: &str, name: &str, under: &[PositionId]) -> Arc<Request> {
    let holder =
        Holder { version: 1, name: name.to_owned().into(), origin: format!("{name}.rs:1").into(), ..Holder::default() };
    Arc::new(request(&key(key_name), holder, under))
}

fn heard(turn: &mut Turn<u32>) -> Poll<Result<Option<u32>, Passed>> {
    Pin::new(turn).poll(&mut Context::from_waker(Waker::noop()))
}

fn head(queues: &Queues<u32>, name: &str, id: PositionId, under: &[PositionId]) -> Position<u32> {
    match queues.join(&lock(name), id, &asked(name, name, under)).unwrap() {
        Joined::Head(position) => position,
        Joined::Behind(..) => panic!("there was a queue"),
    }
}

fn behind(queues: &Queues<u32>, name: &str, id: PositionId, under: &[PositionId]) -> (Position<u32>, Turn<u32>) {
    match queues.join(&lock(name), id, &asked(name, "waiter", under)).unwrap() {
        Joined::Behind(position, turn) => (position, turn),
        Joined::Head(_) => panic!("there was no queue"),
    }
}

#[test]
fn first_in_first_out_and_one_who_leaves_is_skipped() {
    let queues = Queues::<u32>::default();
    let first = head(&queues, "a", 1, &[]);
    let (second, mut second_turn) = behind(&queues, "a", 2, &[]);
    let (third, mut third_turn) = behind(&queues, "a", 3, &[]);
    let (_fourth, mut fourth_turn) = behind(&queues, "a", 4, &[]);
    drop(second);
    assert_eq!(heard(&mut second_turn), Poll::Pending);
    drop(first);
    assert_eq!(heard(&mut third_turn), Poll::Ready(Ok(None)));
    assert_eq!(heard(&mut fourth_turn), Poll::Pending);
    drop(third);
    assert_eq!(heard(&mut fourth_turn), Poll::Ready(Ok(None)));
}

#[test]
fn who_has_left_one_of_several_keeps_nobody_there() {
    let queues = Queues::<u32>::default();
    let of_both = Request { others: Box::new([key("b")]), ..Request::clone(&asked("a", "both", &[])) };
    let Ok(Joined::Head(both)) = queues.join(&lock("a"), 1, &Arc::new(of_both)) else { panic!("there was a queue") };
    let (_for_a, mut turn_at_a) = behind(&queues, "a", 2, &[]);
    let (for_b, mut turn_at_b) = behind(&queues, "b", 3, &[]);
    both.leaves_some(|left| *left == key("b"));
    assert_eq!(heard(&mut turn_at_b), Poll::Ready(Ok(None)));
    assert_eq!(heard(&mut turn_at_a), Poll::Pending);
    both.leaves_some(|left| *left == key("b"));
    let (_next_for_b, mut next_turn_at_b) = behind(&queues, "b", 4, &[]);
    drop(both);
    assert_eq!(heard(&mut turn_at_a), Poll::Ready(Ok(None)));
    assert_eq!(heard(&mut next_turn_at_b), Poll::Pending);
    drop(for_b);
    assert_eq!(heard(&mut next_turn_at_b), Poll::Ready(Ok(None)));
}

#[test]
fn an_empty_queue_is_forgotten() {
    let queues = Queues::<u32>::default();
    let first = head(&queues, "a", 1, &[]);
    assert_eq!(queues.head(&lock("a")).unwrap().id, 1);
    let (waiter, turn) = behind(&queues, "a", 3, &[]);
    drop(turn);
    drop(first);
    drop(waiter);
    assert!(queues.is_empty());
}

#[test]
fn a_circle_of_two_is_seen_and_names_both_places() {
    let queues = Queues::<u32>::default();
    let (_a, _b) = (head(&queues, "a", 1, &[]), head(&queues, "b", 2, &[]));
    let _a_waits_for_b = behind(&queues, "b", 3, &[1]);
    let error = queues.join(&lock("a"), 4, &asked("a", "last", &[2])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadlock);
    let text = error.to_string();
    assert_eq!(
        text,
        "waiting in last (last.rs:1) would never end: `a` is held by a (a.rs:1), under which waiter (waiter.rs:1) waits; \
         `b` is held by b (b.rs:1) around this wait; take the locks in one order everywhere"
    );
}

#[test]
fn a_wait_with_a_limit_closes_no_circle() {
    let queues = Queues::<u32>::default();
    let limited = |key_name: &str, under: &[PositionId]| {
        let request = Arc::unwrap_or_clone(asked(key_name, "limited", under));
        let options = Options { wait: Some(Duration::from_secs(1)), ..Options::default() };
        Arc::new(Request { options, ..request })
    };
    let (_a, _b) = (head(&queues, "a", 1, &[]), head(&queues, "b", 2, &[]));
    let _a_waits_for_b = queues.join(&lock("b"), 3, &limited("b", &[1])).unwrap();
    // The other one ends at its limit, and then this one goes on.
    let b_waits_for_a = queues.join(&lock("a"), 4, &asked("a", "last", &[2])).unwrap();
    drop(b_waits_for_a);
    let _a_waits_for_ever = behind(&queues, "b", 5, &[1]);
    let _b_waits_for_a = queues.join(&lock("a"), 6, &limited("a", &[2])).unwrap();
    assert_eq!(queues.join(&lock("a"), 7, &asked("a", "last", &[2])).unwrap_err().kind(), ErrorKind::Deadlock);
}

/// Each of many tasks holds a lock and asks for the next one's. Nobody looks through all of them each time.
#[test]
fn a_circle_is_looked_for_among_many_waits() {
    const TASKS: u64 = 4_000;
    let queues = Queues::<u32>::default();
    let mut members = Vec::new();
    for task in 0..TASKS {
        members.push((head(&queues, &task.to_string(), task, &[]), None));
    }
    for task in 0..TASKS - 1 {
        let waits = behind(&queues, &(task + 1).to_string(), TASKS + task, &[task]);
        members.push((waits.0, Some(waits.1)));
    }
    let last = queues.join(&lock("0"), TASKS * 3, &asked("0", "last", &[TASKS - 1])).unwrap_err();
    assert_eq!(last.kind(), ErrorKind::Deadlock);
    // A look at one queue costs this; all together must not cost its square.
    assert!(queues.looks() < 3 * TASKS, "{} looks", queues.looks());
    members.clear();
    assert!(queues.is_empty());
}

#[test]
fn a_circle_of_three_is_seen_and_a_chain_is_none() {
    let queues = Queues::<u32>::default();
    let _holds = (head(&queues, "a", 1, &[]), head(&queues, "b", 2, &[]), head(&queues, "c", 3, &[]));
    let _ab = behind(&queues, "b", 4, &[1]);
    let _bc = behind(&queues, "c", 5, &[2]);
    assert!(queues.join(&lock("a"), 6, &asked("a", "free", &[])).is_ok());
    assert_eq!(queues.join(&lock("a"), 7, &asked("a", "c", &[3])).unwrap_err().kind(), ErrorKind::Deadlock);
}
