//! What the queue promises, case by case.

use super::explored::request;
use super::*;

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn asked(key_name: &str, name: &str, under: &[PositionId]) -> Arc<Request> {
    let holder =
        Holder { version: 1, name: name.to_owned().into(), origin: format!("{name}.rs:1").into(), ..Holder::default() };
    Arc::new(request(&key(key_name), holder, under))
}

fn head(queues: &Queues<u32>, name: &str, id: PositionId, under: &[PositionId]) -> Position<u32> {
    match queues.join(id, &asked(name, name, under)).unwrap() {
        Joined::Head(position) => position,
        Joined::Behind(..) => panic!("there was a queue"),
    }
}

fn behind(
    queues: &Queues<u32>,
    name: &str,
    id: PositionId,
    under: &[PositionId],
) -> (Position<u32>, oneshot::Receiver<Option<u32>>) {
    match queues.join(id, &asked(name, "waiter", under)).unwrap() {
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
    assert!(second_turn.try_recv().is_err());
    drop(first);
    assert!(third_turn.try_recv().is_ok());
    assert!(fourth_turn.try_recv().is_err());
    drop(third);
    assert!(fourth_turn.try_recv().is_ok());
}

#[test]
fn an_empty_queue_is_forgotten() {
    let queues = Queues::<u32>::default();
    let first = head(&queues, "a", 1, &[]);
    assert_eq!(queues.try_join(2, &asked("a", "b", &[])).unwrap_err().name, "a");
    let (waiter, turn) = behind(&queues, "a", 3, &[]);
    drop(turn);
    drop(first);
    drop(waiter);
    assert!(queues.0.lock().is_empty());
}

#[test]
fn a_circle_of_two_is_seen_and_names_both_places() {
    let queues = Queues::<u32>::default();
    let (_a, _b) = (head(&queues, "a", 1, &[]), head(&queues, "b", 2, &[]));
    let _a_waits_for_b = behind(&queues, "b", 3, &[1]);
    let error = queues.join(4, &asked("a", "last", &[2])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadlock);
    let text = error.to_string();
    assert!(text.contains("last.rs:1") && text.contains("a.rs:1") && text.contains("b.rs:1"), "{text}");
}

#[test]
fn a_circle_of_three_is_seen_and_a_chain_is_none() {
    let queues = Queues::<u32>::default();
    let _holds = (head(&queues, "a", 1, &[]), head(&queues, "b", 2, &[]), head(&queues, "c", 3, &[]));
    let _ab = behind(&queues, "b", 4, &[1]);
    let _bc = behind(&queues, "c", 5, &[2]);
    assert!(queues.join(6, &asked("a", "free", &[])).is_ok());
    assert_eq!(queues.join(7, &asked("a", "c", &[3])).unwrap_err().kind(), ErrorKind::Deadlock);
}
