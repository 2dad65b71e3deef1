//! Those who hold a lock beside others: what they leave in the line, and what others do to it.

use super::clean_up::remove_idle;
use super::emptying::empty_all;
use super::entries::{OpenEntry, Tried};
use super::line::Line;
use super::place::{Place, Wanted};
use super::record::{Record, shared_head};
use super::tests::{LIMIT, busy, dead_holder, entry, held, lock_file, session, store, world};
use super::ticket::Ticket;
use super::timeline::{Extension, Timeline};
use crate::contract::{Entered, Entry, Scope, Store, WhenBusy};
use crate::values::error::ErrorKind;
use crate::values::mode::Mode;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const LATER: Duration = Duration::from_secs(60);

fn of(mode: Mode, name: &str) -> Arc<Entry> {
    Arc::new(Entry { mode, ..Arc::into_inner(entry(name)).unwrap() })
}

fn line(directory: &Path) -> PathBuf {
    directory.join("%2Fcron%2Fnightly.line")
}

/// What a killed process leaves behind that held the lock beside others, extended or not.
fn leave_ticket_of(directory: &Path, mode: Mode, fence: u64, extension: Option<Extension>) {
    fs::create_dir_all(line(directory)).unwrap();
    fs::write(lock_file(directory), shared_head()).unwrap();
    let place = Place::new(fence, Wanted { mode, several: false }, fence);
    let record = Record { extension, ..Record::of(&dead_holder(), fence) };
    fs::write(line(directory).join(place.name()), record.to_bytes()).unwrap();
}

fn extended() -> Option<Extension> {
    Some(Timeline::new(&world()).after(LATER))
}

async fn holders(directory: &Path) -> Vec<String> {
    let lines = store(directory).inspect(Scope::Prefix(String::new())).await.unwrap();
    lines.iter().flat_map(|line| line.holders.iter().map(|holder| holder.name.to_string())).collect()
}

#[tokio::test]
async fn the_ticket_of_a_killed_reader_holds_nothing() {
    for mode in [Mode::Shared, Mode::Permits(1)] {
        let directory = TempDir::new().unwrap();
        leave_ticket_of(directory.path(), mode, 1, None);
        assert!(store(directory.path()).inspect(Scope::Prefix(String::new())).await.unwrap().is_empty());
        for next in [Mode::Permits(1), Mode::Shared, Mode::Exclusive] {
            leave_ticket_of(directory.path(), mode, 1, None);
            let session = session(directory.path()).await;
            let next = of(next, "next");
            held(&session, &next).await;
            assert_eq!(holders(directory.path()).await, ["next"]);
            session.leave(next).await.unwrap();
        }
        remove_idle(&store(directory.path()).0, LATER).unwrap();
        assert!(!line(directory.path()).exists());
    }
}

#[tokio::test]
async fn the_tickets_of_killed_readers_go_behind_a_living_one() {
    let directory = TempDir::new().unwrap();
    let session = session(directory.path()).await;
    let reader = of(Mode::Shared, "reader");
    held(&session, &reader).await;
    for fence in [2000, 3000] {
        leave_ticket_of(directory.path(), Mode::Shared, fence, None);
    }
    remove_idle(&store(directory.path()).0, LATER).unwrap();
    assert_eq!(Line::at(line(directory.path())).places().unwrap().len(), 1);
    session.leave(reader).await.unwrap();
}

/// Both leave a lock alone that they may not have yet, for longer than one that is free.
#[tokio::test]
async fn whoever_waits_for_an_extended_reader_keeps_its_place() {
    let directory = TempDir::new().unwrap();
    leave_ticket_of(directory.path(), Mode::Shared, 1, extended());
    let (one, two) = (session(directory.path()).await, session(directory.path()).await);
    let (first, second) = (entry("first"), entry("second"));
    for (session, entry) in [(&one, &first), (&two, &second)] {
        assert_eq!(session.enter(Arc::clone(entry), WhenBusy::Queue).await.unwrap(), Entered::Queued);
    }
    let line = Line::at(line(directory.path()));
    let before = line.places().unwrap();
    let both = async { tokio::join!(one.wait_turn(first), two.wait_turn(second)) };
    assert!(tokio::time::timeout(Duration::from_secs(4), both).await.is_err());
    assert_eq!(line.places().unwrap(), before);
}

#[tokio::test]
async fn a_killed_readers_extended_lock_stays_taken_for_others_than_readers() {
    let directory = TempDir::new().unwrap();
    leave_ticket_of(directory.path(), Mode::Shared, 1, extended());
    let session = session(directory.path()).await;
    for mode in [Mode::Exclusive, Mode::Permits(5)] {
        let holder = busy(&session, &of(mode, "next")).await;
        assert!(holder.name == "dead" && holder.to_string().contains("keeps the lock for"), "{holder}");
    }
    let reader = of(Mode::Shared, "reader");
    held(&session, &reader).await;
    assert_eq!(holders(directory.path()).await, ["dead", "reader"]);
    session.leave(reader).await.unwrap();
    // Neither what empties released locks' files nor what removes idle ones ends it.
    session.close().await.unwrap();
    empty_all(&store(directory.path()).0);
    remove_idle(&store(directory.path()).0, Duration::ZERO).unwrap();
    assert_eq!(holders(directory.path()).await, ["dead"]);
}

#[tokio::test]
async fn an_extended_permit_counts() {
    let directory = TempDir::new().unwrap();
    leave_ticket_of(directory.path(), Mode::Permits(2), 1, extended());
    leave_ticket_of(directory.path(), Mode::Permits(2), 2, None);
    let session = session(directory.path()).await;
    held(&session, &of(Mode::Permits(2), "second")).await;
    busy(&session, &of(Mode::Permits(2), "third")).await;
    held(&session, &of(Mode::Permits(3), "third")).await;
    assert_eq!(holders(directory.path()).await, ["dead", "second", "third"]);
}

/// It looked at the line before the reader came, and has the file when the reader has gone.
#[tokio::test]
async fn whoever_has_the_file_alone_looks_for_extended_readers() {
    let directory = TempDir::new().unwrap();
    let store = store(directory.path());
    leave_ticket_of(directory.path(), Mode::Shared, 1, extended());
    let mut late = OpenEntry::new(&store.0, &entry("late")).unwrap();
    let tried = late.attempt().unwrap();
    assert!(matches!(tried, Tried::Refused(0, super::lock::Refusal::Extended(_))), "{tried:?}");
    fs::remove_dir_all(line(directory.path())).unwrap();
    assert!(matches!(late.attempt().unwrap(), Tried::Held(_)));
}

#[tokio::test]
async fn extended_readers_are_released_by_force_and_living_ones_are_not() {
    let directory = TempDir::new().unwrap();
    let (store, key) = (store(directory.path()), entry("x").key.clone());
    for fence in 1..=3 {
        leave_ticket_of(directory.path(), Mode::Shared, fence, extended());
    }
    assert_eq!(store.force_release_if(key.clone(), 7).await.unwrap(), 0);
    assert_eq!(store.force_release_if(key.clone(), 2).await.unwrap(), 1);
    assert_eq!(holders(directory.path()).await.len(), 2);
    let session = session(directory.path()).await;
    let reader = of(Mode::Shared, "reader");
    let fence = held(&session, &reader).await;
    assert_eq!(store.force_release_if(key.clone(), 1).await.unwrap(), 1, "beside a living one");
    let error = store.force_release_if(key.clone(), fence).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("end that process; held by reader"), "{error}");
    assert_eq!(store.force_release(key.clone()).await.unwrap_err().kind(), ErrorKind::Unsupported);
    session.leave(reader).await.unwrap();
    assert_eq!(store.force_release(key.clone()).await.unwrap(), 1);
    held(&session, &entry("writer")).await;
    // Another one has the lock by now.
    assert_eq!(store.force_release_if(key, fence).await.unwrap(), 0);
}

/// As one of a process that did nothing when it was its turn.
#[tokio::test]
async fn a_waiter_whose_ticket_was_taken_away_queues_again() {
    for mode in [Mode::Exclusive, Mode::Shared, Mode::Permits(1)] {
        let directory = TempDir::new().unwrap();
        let (one, two) = (session(directory.path()).await, session(directory.path()).await);
        let (mine, theirs) = (entry("mine"), of(mode, "theirs"));
        held(&one, &mine).await;
        assert_eq!(two.enter(Arc::clone(&theirs), WhenBusy::Queue).await.unwrap(), Entered::Queued);
        fs::remove_dir_all(line(directory.path())).unwrap();
        let (turn, left) = tokio::join!(two.wait_turn(Arc::clone(&theirs)), one.leave(mine));
        left.unwrap();
        turn.unwrap();
        assert_eq!(holders(directory.path()).await, ["theirs"]);
    }
}

/// One that looked at the line long ago, and goes on only now.
#[test]
fn no_reader_and_no_permit_gets_a_place_in_front_of_another() {
    let directory = TempDir::new().unwrap();
    let (store, line) = (store(directory.path()), Line::at(directory.path().join("x.line")));
    let take = |mode, number| Ticket::take(&store.0, &line, Wanted { mode, several: false }, number).unwrap();
    let permit = Wanted { mode: Mode::Permits(2), several: false };
    line.make().unwrap();
    let (first, ahead) = take(permit.mode, 5).unwrap();
    assert!(ahead.is_empty());
    for mode in [Mode::Shared, Mode::Permits(2)] {
        assert!(take(mode, 4).is_none(), "{mode}");
    }
    assert!(take(Mode::Exclusive, 4).is_some(), "the kernel keeps it out");
    let (second, ahead) = Ticket::join(&store.0, &line, permit).unwrap();
    assert!(ahead == [first.place().clone()] && first.place() < second.place());
    drop((first, second));
    assert!(!line.is_there(), "who gave a place up left nothing");
}

#[tokio::test]
async fn the_record_of_released_readers_goes_soon() {
    let directory = TempDir::new().unwrap();
    let session = session(directory.path()).await;
    let readers = [of(Mode::Shared, "one"), of(Mode::Shared, "two")];
    for reader in &readers {
        held(&session, reader).await;
    }
    for reader in readers {
        session.leave(reader).await.unwrap();
    }
    assert!(!line(directory.path()).exists());
    let emptied = async {
        while fs::metadata(lock_file(directory.path())).unwrap().len() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, emptied).await.expect("the record stays");
}

/// Whoever is inside with whom, by a number: a writer is so many as nobody else may be beside it.
#[derive(Debug, Default)]
struct Inside {
    readers: AtomicI64,
    permits: AtomicI64,
    writers: AtomicI64,
}

impl Inside {
    fn enter(&self, mode: Mode, change: i64) {
        let count = match mode {
            Mode::Exclusive => &self.writers,
            Mode::Shared => &self.readers,
            Mode::Permits(_) => &self.permits,
        };
        count.fetch_add(change, Ordering::SeqCst);
        let [readers, permits, writers] =
            [&self.readers, &self.permits, &self.writers].map(|count| count.load(Ordering::SeqCst));
        if change > 0 {
            let is_right = match mode {
                Mode::Exclusive => (readers, permits, writers) == (0, 0, 1),
                Mode::Shared => (permits, writers) == (0, 0),
                Mode::Permits(limit) => (readers, writers) == (0, 0) && permits <= i64::from(limit),
            };
            assert!(is_right, "{mode} beside {readers} readers, {permits} permits, {writers} writers");
        }
    }
}

/// While others look at the line, remove what is idle, and remove tickets of dead processes that they did not leave.
#[test]
fn nobody_is_inside_beside_somebody_else_than_the_rule_says() {
    const TURNS: u64 = 600;
    const MODES: [Mode; 4] = [Mode::Permits(2), Mode::Shared, Mode::Permits(2), Mode::Exclusive];
    let directory = TempDir::new().unwrap();
    let (inside, turns) = (Inside::default(), AtomicU64::new(0));
    let one = || async {
        let session = session(directory.path()).await;
        loop {
            let turn = turns.fetch_add(1, Ordering::SeqCst);
            if turn >= TURNS {
                return;
            }
            // Long times of one mode, and quick changes.
            let mode = if turn % 200 < 100 { Mode::Permits(2) } else { MODES[usize::try_from(turn).unwrap() % 4] };
            let entry = of(mode, "x");
            let when_busy = if turn % 3 == 0 { WhenBusy::Refuse } else { WhenBusy::Queue };
            match session.enter(Arc::clone(&entry), when_busy).await.unwrap() {
                Entered::Held(_) => {}
                Entered::Queued => drop(session.wait_turn(Arc::clone(&entry)).await.unwrap()),
                Entered::Busy(_) => continue,
            }
            inside.enter(mode, 1);
            std::thread::yield_now();
            inside.enter(mode, -1);
            session.leave(entry).await.unwrap();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(one());
            });
        }
        scope.spawn(|| {
            let store = store(directory.path());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            while turns.load(Ordering::SeqCst) < TURNS {
                remove_idle(&store.0, Duration::ZERO).unwrap();
                runtime.block_on(store.inspect(Scope::Prefix(String::new()))).unwrap();
            }
        });
    });
}
