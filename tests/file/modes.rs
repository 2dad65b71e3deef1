//! Readers, permits, and several locks at one moment, between real processes and beside flock(1).

use super::*;
use distributed_locks::store::Line;
use distributed_locks::{Guard, Mode};
use std::path::PathBuf;
use support::eventually;

const KEY: &str = "k";

/// Acquires the lock in this process.
async fn held(locks: &Locks, mode: Mode) -> Guard {
    support::in_time(locks.lock(KEY).mode(mode).acquire()).await.unwrap()
}

async fn is_busy(locks: &Locks, mode: Mode) -> bool {
    locks.lock(KEY).mode(mode).try_acquire().await.unwrap().is_none()
}

/// A process that holds the lock, or waits for it, until it is killed.
fn process(store: &Store, mode: &str) -> Child {
    store.worker(&["as", mode, "URL", KEY])
}

/// The processes that hold the lock and those that wait for it, once they are as many.
async fn until(locks: &Locks, holders: usize, waiters: usize) -> Line {
    eventually(async || match locks.inspect(KEY).await.unwrap() {
        Some(line) if (line.holders.len(), line.waiters.len()) == (holders, waiters) => Ok(line),
        other => Err(other),
    })
    .await
}

/// As [`until`], whoever of other programs holds the lock.
async fn until_waiting(locks: &Locks, waiters: usize) -> Line {
    eventually(async || match locks.inspect(KEY).await.unwrap() {
        Some(line) if line.waiters.len() == waiters => Ok(line),
        other => Err(other),
    })
    .await
}

/// Another program on the lock's file.
fn flock(store: &Store, arguments: &[&str], then: &[&str]) -> Command {
    let mut command = Command::new("flock");
    command.args(arguments).arg(lock_file(store)).args(then);
    command
}

fn lock_file(store: &Store) -> PathBuf {
    store.0.path().join("locks/k.lock")
}

/// Whether flock(1) gets the file in this way at once.
fn flock_gets(store: &Store, how: &str) -> bool {
    flock(store, &["-n", how], &["true"]).status().unwrap().success()
}

/// flock(1) with the lock, until its input ends.
fn flock_holds(store: &Store, how: &str) -> Child {
    let mut child = Child::start(&mut flock(store, &[how], &["sh", "-c", "echo start; read -r line"]));
    child.next_line("start");
    child
}

/// The file is there once it was held.
async fn with_file(store: &Store) -> Locks {
    let locks = store.client();
    held(&locks, Mode::Exclusive).await.release().await.unwrap();
    locks
}

#[tokio::test]
async fn readers_and_permits_share_the_file_with_flock_and_keep_its_writers_out() {
    let store = Store::new();
    let locks = with_file(&store).await;
    for mode in [Mode::Shared, Mode::Permits(2)] {
        let guard = held(&locks, mode).await;
        assert!(flock_gets(&store, "-s") && !flock_gets(&store, "-x"), "{mode}");
        guard.check().unwrap();
        guard.release().await.unwrap();
        assert!(flock_gets(&store, "-x"), "{mode}");
    }
    let writer = held(&locks, Mode::Exclusive).await;
    assert!(!flock_gets(&store, "-s"));
    writer.release().await.unwrap();
}

#[tokio::test]
async fn a_reader_of_another_program_keeps_writers_out_and_readers_beside_it() {
    let store = Store::new();
    let locks = with_file(&store).await;
    let mut other = flock_holds(&store, "-s");
    held(&locks, Mode::Shared).await.release().await.unwrap();
    assert!(is_busy(&locks, Mode::Exclusive).await);
    let mut first = process(&store, "exclusive");
    until_waiting(&locks, 1).await;
    let mut behind = process(&store, "exclusive");
    until_waiting(&locks, 2).await;
    // The lock looks free to those who share it, and the first, which is stopped, does not take it: for longer than a waiter keeps
    // its place where nobody has the lock.
    assert!(first.pause());
    assert!(behind.is_silent_about("start", Duration::from_millis(2500)));
    assert!(first.resume());
    let waiting = until_waiting(&locks, 2).await.waiters;
    assert_eq!([waiting[0].pid, waiting[1].pid], [first.id(), behind.id()], "the first was passed over");
    other.hang_up();
    first.next_line("start");
    let line = until(&locks, 1, 1).await;
    assert_eq!((line.holders[0].pid, line.waiters[0].pid), (first.id(), behind.id()));
    first.kill();
    behind.next_line("start");
    behind.kill();
    held(&locks, Mode::Exclusive).await.release().await.unwrap();
}

#[tokio::test]
async fn a_writer_of_another_program_keeps_readers_and_permits_out() {
    let store = Store::new();
    let locks = with_file(&store).await;
    let mut other = flock_holds(&store, "-x");
    for mode in [Mode::Shared, Mode::Permits(2)] {
        let busy = locks.lock(KEY).mode(mode).wait(Duration::ZERO).acquire().await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Busy);
        assert!(busy.to_string().contains("flock(1)"), "{busy}");
    }
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let locks = store.client();
            tokio::spawn(async move { held(&locks, Mode::Shared).await })
        })
        .collect();
    until(&locks, 1, 3).await;
    other.hang_up();
    let mut guards = Vec::new();
    for reader in readers {
        guards.push(support::in_time(reader).await.unwrap());
    }
    assert_eq!(locks.inspect(KEY).await.unwrap().unwrap().holders.len(), 3);
    for guard in guards {
        guard.release().await.unwrap();
    }
}

#[tokio::test]
async fn a_killed_reader_holds_nothing_and_is_not_listed() {
    let store = Store::new();
    let locks = store.client();
    let mut readers = [process(&store, "shared"), process(&store, "shared")];
    let fences = readers.each_mut().map(|reader| fence_of(&reader.next_line("start")));
    let line = until(&locks, 2, 0).await;
    let mut pids: Vec<u32> = line.holders.iter().map(|holder| holder.pid).collect();
    pids.sort_unstable();
    let mut expected = readers.each_ref().map(Child::id);
    expected.sort_unstable();
    assert_eq!(pids, expected);
    assert!(line.holders.iter().all(|holder| holder.fence.is_some() && holder.since_ms.is_some()), "{line:?}");
    let waiting = tokio::spawn({
        let locks = locks.clone();
        async move { held(&locks, Mode::Exclusive).await }
    });
    until(&locks, 2, 1).await;
    readers[0].kill();
    let line = until(&locks, 1, 1).await;
    assert_eq!(line.holders[0].pid, readers[1].id());
    assert!(!waiting.is_finished());
    readers[1].kill();
    let guard = support::in_time(waiting).await.unwrap();
    assert!(fences.iter().all(|fence| *fence < guard.fence().to_u64()), "{fences:?}, and then {:?}", guard.fence());
    guard.release().await.unwrap();
    nothing_stays(&store);
}

fn fence_of(line: &str) -> u64 {
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// No line, whoever was in it.
fn nothing_stays(store: &Store) {
    let files = std::fs::read_dir(store.0.path().join("locks")).unwrap();
    let lines: Vec<_> = files.map(|file| file.unwrap().path()).filter(|path| path.is_dir()).collect();
    assert_eq!(lines, Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_killed_process_gives_its_permit_back() {
    let store = Store::new();
    let locks = store.client();
    let mut holders = [process(&store, "2"), process(&store, "2")];
    holders.iter_mut().for_each(|holder| drop(holder.next_line("start")));
    assert!(is_busy(&locks, Mode::Permits(2)).await);
    let mut waiting = [process(&store, "2"), process(&store, "2")];
    until(&locks, 2, 2).await;
    // A waiter that is killed is in nobody's way; which of them is the first does not matter.
    waiting[0].kill();
    until(&locks, 2, 1).await;
    holders[1].kill();
    waiting[1].next_line("start");
    let line = until(&locks, 2, 0).await;
    assert!(line.holders.iter().all(|holder| [holders[0].id(), waiting[1].id()].contains(&holder.pid)), "{line:?}");
    holders[0].kill();
    held(&locks, Mode::Permits(2)).await.release().await.unwrap();
    waiting[1].kill();
    held(&locks, Mode::Exclusive).await.release().await.unwrap();
    nothing_stays(&store);
}

/// A stopped process holds what it holds, and loses its place only where it waits.
#[tokio::test]
async fn a_stopped_reader_that_waits_keeps_nobody_from_the_lock_and_one_that_holds_does() {
    let store = Store::new();
    let locks = store.client();
    for mode in ["shared", "2"] {
        let guard = held(&locks, Mode::Exclusive).await;
        let mut stopped = process(&store, mode);
        until(&locks, 1, 1).await;
        let mut next = process(&store, "exclusive");
        until(&locks, 1, 2).await;
        assert!(stopped.pause());
        guard.release().await.unwrap();
        next.next_line("start");
        assert!(stopped.resume());
        next.kill();
        stopped.next_line("start");
        assert!(stopped.pause());
        // For longer than a waiter would keep its place.
        let refused = locks.lock(KEY).wait(Duration::from_millis(1500)).acquire().await.unwrap_err();
        assert_eq!((refused.kind(), refused.holder().unwrap().pid), (ErrorKind::Timeout, stopped.id()));
        stopped.kill();
        held(&locks, Mode::Exclusive).await.release().await.unwrap();
    }
}

/// Readers of one client, after a writer of another one.
#[tokio::test]
async fn a_hand_off_to_several_readers_takes_milliseconds() {
    const READERS: usize = 12;
    let store = Store::new();
    let (ours, theirs) = (store.client(), store.client());
    once_within(Duration::from_millis(10), async || {
        let writer = held(&ours, Mode::Exclusive).await;
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                let theirs = theirs.clone();
                tokio::spawn(async move { (held(&theirs, Mode::Shared).await, Instant::now()) })
            })
            .collect();
        until(&ours, 1, READERS).await;
        let released = Instant::now();
        writer.release().await.unwrap();
        let mut last = released;
        for reader in readers {
            let (guard, held) = reader.await.unwrap();
            last = last.max(held);
            guard.release().await.unwrap();
        }
        last - released
    })
    .await;
}

#[tokio::test]
async fn whoever_waits_for_several_locks_is_not_passed_over_while_one_of_them_is_free() {
    let store = Store::new();
    let locks = store.client();
    let held_one = support::in_time(locks.lock("b").acquire()).await.unwrap();
    let mut several = store.worker(&["as", "exclusive", "URL", "b", KEY, "a"]);
    until(&locks, 0, 1).await;
    let mut next = process(&store, "exclusive");
    until(&locks, 0, 2).await;
    // The lock is free for longer than one that waits for it alone would keep its place.
    assert!(next.is_silent_about("start", Duration::from_millis(2500)));
    let line = until(&locks, 0, 2).await;
    assert_eq!(line.waiters[0].pid, several.id());
    held_one.release().await.unwrap();
    several.next_line("start");
    let line = until(&locks, 1, 1).await;
    assert_eq!((line.holders[0].pid, line.waiters[0].pid), (several.id(), next.id()));
    several.kill();
    next.next_line("start");
    next.kill();
    held(&locks, Mode::Exclusive).await.release().await.unwrap();
    nothing_stays(&store);
}

/// Two pairs in each order, and single locks between them: they would wait for each other soon.
#[test]
fn processes_that_want_several_locks_never_wait_for_each_other() {
    let store = Store::new();
    let wanted: [&[&str]; 5] = [&["a", "b"], &["b", "a"], &["b", "c", "a"], &["b"], &["c", "b"]];
    let mut workers: Vec<Child> = Vec::new();
    for (number, keys) in wanted.into_iter().enumerate() {
        let mode = if number % 2 == 0 { "exclusive" } else { "shared" };
        workers.push(store.worker(&[&["turns-as", mode, "60", "URL"], keys].concat()));
    }
    for worker in &mut workers {
        for _ in 0..60 {
            worker.next_line("turned");
        }
        assert!(worker.wait().success());
    }
    nothing_stays(&store);
}

/// By when each was inside, on one clock. The kernel's lock on the file lets all of them in: the tickets count them.
#[test]
fn processes_in_turn_never_are_more_than_there_are_permits() {
    const WORKERS: usize = 5;
    let store = Store::new();
    let mut workers: Vec<Child> = (0..WORKERS).map(|_| store.worker(&["inside", "2", "40", "URL", KEY])).collect();
    let mut times: Vec<(i128, i64)> = Vec::new();
    for worker in &mut workers {
        for _ in 0..40 {
            let line = worker.next_line("inside");
            let (begun, ended) = line.split_once(' ').unwrap();
            times.push((begun.parse().unwrap(), 1));
            times.push((ended.parse().unwrap(), -1));
        }
    }
    times.sort_unstable();
    let (mut inside, mut most) = (0, 0);
    for (_, change) in times {
        inside += change;
        most = most.max(inside);
    }
    assert_eq!(most, 2, "at most as many as there are permits, and all of them at times");
}

#[tokio::test]
async fn a_reader_whose_ticket_is_deleted_has_lost_the_lock() {
    let store = Store::new();
    let locks = Locks::connect(format!("{}?ttl=60s", store.url())).unwrap();
    for what in ["k.line", "k.lock"] {
        let guard = held(&locks, Mode::Shared).await;
        let path = store.0.path().join("locks").join(what);
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap()
        } else {
            std::fs::remove_file(path).unwrap()
        }
        assert_eq!(support::in_time(guard.lost()).await.kind(), ErrorKind::Lost, "{what}");
        drop(guard);
        held(&locks, Mode::Exclusive).await.release().await.unwrap();
    }
}
