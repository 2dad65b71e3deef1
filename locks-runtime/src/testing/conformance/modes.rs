//! Who may hold a lock beside whom: readers and writers.

use super::fixture::{Fixture, PACES, acquire, refused, soon, too_busy};
use crate::api::guard::Guard;
use crate::api::locks::Locks;
use crate::values::error::{Error, ErrorKind};
use crate::values::fence::Fence;
use crate::values::mode::Mode;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;

list! {
    modes:
    |can| !can.shared || !can.permits => [
        a_mode_that_the_store_does_not_know_is_refused,
    ]
    |can| can.shared => [
        readers_hold_at_once,
        a_writer_waits_for_every_reader,
        readers_wait_for_a_writer_and_hold_together_after_it,
        a_reader_that_withdraws_is_no_reader,
        readers_never_hold_beside_a_writer,
        a_reader_that_holds_at_least_keeps_only_writers_out,
    ]
    |can| can.shared && can.queue_order => [
        a_reader_does_not_overtake_a_writer_that_waits,
        a_writer_that_withdraws_lets_the_readers_behind_it_hold,
    ]
    |can| can.shared && can.fencing => [
        a_writers_fence_is_above_those_of_all_readers_before_it,
    ]
    |can| can.shared && can.force_release => [
        all_readers_are_released_by_force,
    ]
}

pub(super) const READER: Mode = Mode::Shared;
pub(super) const WRITER: Mode = Mode::Exclusive;

/// Acquires a lock that is free for this mode, or will be soon, under a name.
pub(super) async fn acquire_as(locks: &Locks, key: &str, name: &'static str, mode: Mode) -> Guard {
    soon(name, locks.lock(key).name(name).mode(mode).acquire()).await.unwrap()
}

/// Begins to wait for a lock under a name.
pub(super) fn wait_as(locks: &Locks, key: &str, name: &'static str, mode: Mode) -> JoinHandle<Result<Guard, Error>> {
    tokio::spawn(locks.lock(key).name(name).mode(mode).acquire())
}

pub(super) async fn is_busy(locks: &Locks, key: &str, mode: Mode) {
    let tried = locks.lock(key).mode(mode).wait(Duration::ZERO).acquire();
    refused(soon("the answer to a try", tried).await, ErrorKind::Busy);
}

async fn a_mode_that_the_store_does_not_know_is_refused(fixture: &Fixture) {
    let (locks, key) = (fixture.client(), fixture.key("k"));
    for (mode, is_known) in [(READER, fixture.can().shared), (Mode::Permits(2), fixture.can().permits)] {
        if !is_known {
            let error = refused(locks.lock(&key).mode(mode).acquire().await, ErrorKind::Unsupported);
            assert!(error.to_string().contains("remove `"), "what to do: {error}");
        }
    }
    fixture.is_free("k").await;
}

async fn readers_hold_at_once(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let first = acquire_as(&ours, &key, "first", READER).await;
    // Of another process, and of the same.
    let second = acquire_as(&theirs, &key, "second", READER).await;
    let third = acquire_as(&ours, &key, "third", READER).await;
    let fourth = soon("a try", theirs.lock(&key).name("fourth").mode(READER).try_acquire()).await.unwrap();
    fixture.until_held_by("k", &["first", "fourth", "second", "third"]).await;
    for client in [&ours, &theirs, &fixture.client()] {
        is_busy(client, &key, WRITER).await;
    }
    for guard in [Some(first), Some(second), Some(third), fourth] {
        let guard = guard.expect("a reader beside readers");
        guard.check().unwrap();
        guard.release().await.unwrap();
    }
    fixture.is_free("k").await;
}

async fn a_writer_waits_for_every_reader(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let readers = [acquire_as(&ours, &key, "first", READER).await, acquire_as(&theirs, &key, "second", READER).await];
    let writer = wait_as(&fixture.client(), &key, "writer", WRITER);
    fixture.until("k", &["first", "second"], 1).await;
    let [first, second] = readers;
    first.release().await.unwrap();
    fixture.until("k", &["second"], 1).await;
    assert!(!writer.is_finished(), "a writer beside a reader");
    second.release().await.unwrap();
    let writer = soon("the writer's turn", writer).await.unwrap().unwrap();
    fixture.until("k", &["writer"], 0).await;
    writer.release().await.unwrap();
    fixture.is_free("k").await;
}

async fn readers_wait_for_a_writer_and_hold_together_after_it(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let writer = acquire(&ours, &key, "writer").await;
    is_busy(&theirs, &key, READER).await;
    let readers: Vec<_> =
        [&ours, &theirs, &theirs, &fixture.client()].map(|locks| wait_as(locks, &key, "reader", READER)).into();
    writer.release().await.unwrap();
    let mut guards = Vec::new();
    for reader in readers {
        guards.push(soon("all readers together", reader).await.unwrap().unwrap());
    }
    guards.iter().for_each(|guard| guard.check().unwrap());
    is_busy(&ours, &key, WRITER).await;
    for guard in guards {
        guard.release().await.unwrap();
    }
    fixture.is_free("k").await;
}

async fn a_reader_that_withdraws_is_no_reader(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let writer = acquire(&ours, &key, "writer").await;
    let quitter = wait_as(&theirs, &key, "quitter", READER);
    fixture.until("k", &["writer"], 1).await;
    quitter.abort();
    fixture.until("k", &["writer"], 0).await;
    let next = wait_as(&fixture.client(), &key, "next", WRITER);
    fixture.until("k", &["writer"], 1).await;
    writer.release().await.unwrap();
    soon("the next writer", next).await.unwrap().unwrap().release().await.unwrap();
    fixture.is_free("k").await;
}

async fn a_reader_does_not_overtake_a_writer_that_waits(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let first = acquire_as(&ours, &key, "first", READER).await;
    let writer = wait_as(&theirs, &key, "writer", WRITER);
    fixture.until("k", &["first"], 1).await;
    for client in [&ours, &theirs, &fixture.client()] {
        is_busy(client, &key, READER).await;
    }
    let late = wait_as(&fixture.client(), &key, "late", READER);
    fixture.until("k", &["first"], 2).await;
    first.release().await.unwrap();
    let writer = soon("the writer's turn", writer).await.unwrap().unwrap();
    fixture.until("k", &["writer"], 1).await;
    writer.release().await.unwrap();
    soon("the late reader's turn", late).await.unwrap().unwrap().release().await.unwrap();
    fixture.is_free("k").await;
}

async fn a_writer_that_withdraws_lets_the_readers_behind_it_hold(fixture: &Fixture) {
    let key = fixture.key("k");
    let first = acquire_as(&fixture.client(), &key, "first", READER).await;
    let writer = wait_as(&fixture.client(), &key, "writer", WRITER);
    fixture.until("k", &["first"], 1).await;
    let late = wait_as(&fixture.client(), &key, "late", READER);
    fixture.until("k", &["first"], 2).await;
    writer.abort();
    let late = soon("the late reader, beside the first", late).await.unwrap().unwrap();
    fixture.until("k", &["first", "late"], 0).await;
    late.release().await.unwrap();
    first.release().await.unwrap();
    fixture.is_free("k").await;
}

async fn a_writers_fence_is_above_those_of_all_readers_before_it(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let mut last: Option<Fence> = None;
    for _ in 0..6 {
        let readers = [acquire_as(&ours, &key, "one", READER).await, acquire_as(&theirs, &key, "other", READER).await];
        for reader in readers {
            assert!(last < Some(reader.fence()), "{last:?} of a writer, and then {:?} of a reader", reader.fence());
            last = last.max(Some(reader.fence()));
            reader.release().await.unwrap();
        }
        let writer = acquire(&theirs, &key, "writer").await;
        assert!(last < Some(writer.fence()), "{last:?}, and then {:?} of a writer", writer.fence());
        last = Some(writer.fence());
        writer.release().await.unwrap();
    }
}

async fn all_readers_are_released_by_force(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let readers = [acquire_as(&ours, &key, "one", READER).await, acquire_as(&theirs, &key, "other", READER).await];
    assert!(fixture.client().force_release(&key).await.unwrap());
    fixture.until("k", &[], 0).await;
    for reader in readers {
        if fixture.can().notices_removal {
            assert_eq!(soon("the loss", reader.lost()).await.kind(), ErrorKind::Lost);
        }
    }
}

/// The body is over, and the lock stays as it was. Returns what others get of it meanwhile, and then waits for it.
pub(super) async fn held_at_least(fixture: &Fixture, mode: Mode, others: [Mode; 2]) -> [bool; 2] {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    for least in PACES {
        let begun = fixture.world().now();
        ours.lock(&key).mode(mode).hold_at_least(least).run(|_| async {}).await.unwrap();
        let mut got = [false; 2];
        for (got, other) in got.iter_mut().zip(others) {
            let tried = soon("a try", theirs.lock(&key).mode(other).try_acquire()).await.unwrap();
            *got = tried.is_some();
        }
        // Otherwise the time was over before the looks: the machine is too busy for it.
        let in_time = fixture.world().now().since(begun) < least;
        let writer = acquire(&theirs, &key, "writer").await;
        let waited = fixture.world().now().since(begun);
        assert!(waited >= least, "extended by {least:?}; acquired after {waited:?}");
        writer.release().await.unwrap();
        if in_time {
            fixture.is_free("k").await;
            return got;
        }
    }
    too_busy();
}

async fn a_reader_that_holds_at_least_keeps_only_writers_out(fixture: &Fixture) {
    assert_eq!(held_at_least(fixture, READER, [WRITER, READER]).await, [false, true]);
}

/// Who is inside at this moment.
#[derive(Debug, Default)]
struct Inside {
    now: Vec<Mode>,
    /// How many there were at most.
    most: usize,
}

/// A body inside, which counts itself out when it ends.
struct Body<'a>(&'a Mutex<Inside>, Mode);

impl<'a> Body<'a> {
    fn enter(inside: &'a Mutex<Inside>, mode: Mode) -> Self {
        let mut locked = inside.lock().unwrap();
        locked.now.push(mode);
        locked.most = locked.most.max(locked.now.len());
        let now = locked.now.clone();
        drop(locked);
        let is_allowed = match mode {
            Mode::Exclusive => now.len() == 1,
            Mode::Shared => now.iter().all(|other| *other == Mode::Shared),
            Mode::Permits(limit) => {
                now.iter().all(|other| *other == mode) && u32::try_from(now.len()).is_ok_and(|count| count <= limit)
            }
        };
        assert!(is_allowed, "{mode} beside the others of {now:?}");
        Self(inside, mode)
    }
}

impl Drop for Body<'_> {
    fn drop(&mut self) {
        let mut inside = self.0.lock().unwrap();
        if let Some(place) = inside.now.iter().position(|mode| *mode == self.1) {
            inside.now.swap_remove(place);
        }
    }
}

/// Many tasks of several clients, each with one of these modes at a time; returns how many were inside at once at most.
pub(super) async fn many(fixture: &Fixture, modes: &'static [Mode]) -> usize {
    let (inside, key) = (Arc::new(Mutex::new(Inside::default())), fixture.key("k"));
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let locks = fixture.client();
        for task in 0..4 {
            let (locks, key, inside) = (locks.clone(), key.clone(), Arc::clone(&inside));
            let world = fixture.world().clone();
            tasks.push(tokio::spawn(async move {
                for round in 0..12 {
                    let mode = modes[(task + round) % modes.len()];
                    let body = async |guard: Guard| {
                        let _body = Body::enter(&inside, mode);
                        for _ in 0..world.bits() % 6 {
                            tokio::task::yield_now().await;
                        }
                        guard.check().unwrap();
                    };
                    locks.lock(&key).mode(mode).run(body).await.unwrap();
                }
            }));
        }
    }
    for task in tasks {
        soon("many bodies", task).await.unwrap();
    }
    fixture.is_free("k").await;
    let inside = inside.lock().unwrap();
    assert_eq!(inside.now, []);
    inside.most
}

async fn readers_never_hold_beside_a_writer(fixture: &Fixture) {
    many(fixture, &[READER, READER, WRITER]).await;
}
