//! Who may hold a lock beside whom: readers and writers, permits.

use super::fixture::{Fixture, acquire, attempt, hold, leave, queue, refused, soon, turn};
use crate::api::guard::Guard;
use crate::api::locks::Locks;
use crate::contract::Entered;
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
    |can| can.permits => [
        so_many_hold_at_once_and_no_more,
        a_permit_comes_back_however_its_hold_ends,
        never_more_hold_than_there_are_permits,
        permits_are_of_no_use_beside_a_writer,
    ]
    |can| can.permits && can.queue_order => [
        each_entry_counts_by_its_own_limit,
    ]
    |can| can.permits && can.shared => [
        readers_and_permits_wait_for_each_other,
    ]
}

const READER: Mode = Mode::Shared;
const WRITER: Mode = Mode::Exclusive;

/// Acquires a lock that is free for this mode, or will be soon, under a name.
async fn acquire_as(locks: &Locks, key: &str, name: &'static str, mode: Mode) -> Guard {
    soon(name, locks.lock(key).name(name).mode(mode).acquire()).await.unwrap()
}

/// Begins to wait for a lock under a name.
fn wait_as(locks: &Locks, key: &str, name: &'static str, mode: Mode) -> JoinHandle<Result<Guard, Error>> {
    tokio::spawn(locks.lock(key).name(name).mode(mode).acquire())
}

async fn is_busy(locks: &Locks, key: &str, mode: Mode) {
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

async fn so_many_hold_at_once_and_no_more(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let permit = Mode::Permits(3);
    let guards = [
        acquire_as(&ours, &key, "a", permit).await,
        acquire_as(&theirs, &key, "b", permit).await,
        acquire_as(&ours, &key, "c", permit).await,
    ];
    for client in [&ours, &theirs, &fixture.client()] {
        is_busy(client, &key, permit).await;
    }
    let waiting = wait_as(&theirs, &key, "d", permit);
    fixture.until("k", &["a", "b", "c"], 1).await;
    let [first, second, third] = guards;
    second.release().await.unwrap();
    let fourth = soon("the permit that came back", waiting).await.unwrap().unwrap();
    for guard in [first, third, fourth] {
        guard.check().unwrap();
        guard.release().await.unwrap();
    }
    fixture.is_free("k").await;
}

async fn a_permit_comes_back_however_its_hold_ends(fixture: &Fixture) {
    let (ours, key) = (fixture.client(), fixture.key("k"));
    let permit = Mode::Permits(2);
    let _stays = acquire_as(&ours, &key, "stays", permit).await;
    for round in 0..4 {
        let theirs = fixture.client();
        let guard = acquire_as(&theirs, &key, "ends", permit).await;
        let waiting = wait_as(&ours, &key, "waits", permit);
        fixture.until_held_by("k", &["ends", "stays"]).await;
        match round {
            0 => guard.release().await.unwrap(),
            1 => drop(guard),
            2 => theirs.close().await,
            _ => {
                let body = tokio::spawn(async move {
                    let _guard = guard;
                    std::future::pending::<()>().await;
                });
                tokio::task::yield_now().await;
                body.abort();
            }
        }
        soon("the permit", waiting).await.unwrap().unwrap().release().await.unwrap();
    }
}

async fn permits_are_of_no_use_beside_a_writer(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let permit = acquire_as(&ours, &key, "permit", Mode::Permits(5)).await;
    is_busy(&theirs, &key, WRITER).await;
    permit.release().await.unwrap();
    let writer = acquire(&theirs, &key, "writer").await;
    is_busy(&ours, &key, Mode::Permits(5)).await;
    writer.release().await.unwrap();
    fixture.is_free("k").await;
}

async fn readers_and_permits_wait_for_each_other(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    for (one, other) in [(READER, Mode::Permits(5)), (Mode::Permits(5), READER)] {
        let held = acquire_as(&ours, &key, "held", one).await;
        let waiting = wait_as(&theirs, &key, "waiting", other);
        fixture.until("k", &["held"], 1).await;
        held.release().await.unwrap();
        soon("the other kind", waiting).await.unwrap().unwrap().release().await.unwrap();
    }
    fixture.is_free("k").await;
}

/// A new version of a program has another limit than the old one, for a while.
async fn each_entry_counts_by_its_own_limit(fixture: &Fixture) {
    let session = fixture.session().await;
    let entry = |name: &str, limit: u32| fixture.entry_as("k", name, Mode::Permits(limit));
    let (first, second, narrow, wide) = (entry("first", 3), entry("second", 3), entry("narrow", 2), entry("wide", 4));
    hold(&session, &first).await;
    hold(&session, &second).await;
    queue(&session, &narrow).await;
    // Three are ahead of it, and it allows four.
    hold(&session, &wide).await;
    // As many as it allows are ahead.
    assert!(matches!(attempt(&session, &entry("refused", 4)).await, Entered::Busy(_)));
    leave(&session, &first).await;
    turn(&session, &narrow).await.unwrap();
    for entry in [second, narrow, wide] {
        leave(&session, &entry).await;
    }
    fixture.is_free("k").await;
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
async fn many(fixture: &Fixture, modes: &'static [Mode]) -> usize {
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

async fn never_more_hold_than_there_are_permits(fixture: &Fixture) {
    let most = many(fixture, &[Mode::Permits(3)]).await;
    assert!(most > 1, "nobody held beside another");
}
