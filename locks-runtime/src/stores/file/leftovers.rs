//! What other processes leave in the files, or do to them, and what must not come of it.

use super::clean_up::remove_idle;
use super::record::Record;
use super::tests::{busy, dead_holder, entry, held, leave_record_of, lock_file, session, store, world};
use super::timeline::Timeline;
use crate::contract::{Entry, Scope, Store};
use crate::values::holder::Holder;
use crate::values::key::Key;
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const TTL: Duration = Duration::from_secs(10);

/// An entry of another lock than the usual one.
fn at(key: &str) -> Arc<Entry> {
    Arc::new(Entry { key: Key::new(key).unwrap(), ..Arc::into_inner(entry(key)).unwrap() })
}

#[tokio::test]
async fn the_record_of_a_killed_holder_holds_nothing() {
    let directory = TempDir::new().unwrap();
    for holder in [dead_holder(), Holder::clone(&entry("alive").holder)] {
        leave_record_of(
            directory.path(),
            &Record { fence: Some(u64::MAX >> 13), holder: Some(holder), ..Record::default() },
        );
        let lines = store(directory.path()).inspect(Scope::Prefix(String::new())).await.unwrap();
        assert!(lines.is_empty(), "{lines:?}");
        assert!(held(&session(directory.path()).await, &entry("next")).await > u64::MAX >> 13);
    }
}

#[tokio::test]
async fn the_file_names_the_holder_until_the_release() {
    let directory = TempDir::new().unwrap();
    let long = Holder { name: "x".repeat(3000).into(), ..dead_holder() };
    leave_record_of(directory.path(), &Record { holder: Some(long), ..Record::default() });
    let session = session(directory.path()).await;
    let mine = entry("mine");
    held(&session, &mine).await;
    let lines = || fs::read_to_string(lock_file(directory.path())).unwrap().lines().map(str::len).collect::<Vec<_>>();
    assert_eq!(lines()[2..], [mine.holder.to_json().len()]);
    session.leave(mine).await.unwrap();
    let record = Record::parse(&fs::read(lock_file(directory.path())).unwrap());
    assert!(record.fence.is_some() && record.holder.is_none(), "{record:?}");
    session.close().await.unwrap();
    assert_eq!(lines().len(), 0, "a released lock's file takes no room");
}

#[tokio::test]
async fn the_record_of_a_released_lock_goes_soon() {
    let directory = TempDir::new().unwrap();
    let session = session(directory.path()).await;
    let length = || fs::metadata(lock_file(directory.path())).unwrap().len();
    for turn in 0..2 {
        let mine = entry("mine");
        held(&session, &mine).await;
        session.leave(mine).await.unwrap();
        while length() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Another program may have it by then.
        let other = fs::File::open(lock_file(directory.path())).unwrap();
        assert!(other.try_lock().is_ok(), "turn {turn}");
    }
}

/// What is kept open is used again only if it is still the lock's file.
#[tokio::test]
async fn a_file_that_was_removed_after_the_release_is_not_used_again() {
    let directory = TempDir::new().unwrap();
    let session = session(directory.path()).await;
    for _ in 0..3 {
        let mine = entry("mine");
        let fence = held(&session, &mine).await;
        assert_eq!(busy(&super::tests::session(directory.path()).await, &entry("theirs")).await, *mine.holder);
        session.leave(mine).await.unwrap();
        fs::remove_file(lock_file(directory.path())).unwrap();
        let next = entry("next");
        assert!(held(&session, &next).await > fence);
        assert_eq!(busy(&super::tests::session(directory.path()).await, &entry("theirs")).await, *next.holder);
        session.leave(next).await.unwrap();
    }
}

#[tokio::test]
async fn a_killed_holders_extended_lock_stays_taken() {
    let directory = TempDir::new().unwrap();
    let extension = Timeline::new(&world()).after(TTL);
    leave_record_of(
        directory.path(),
        &Record { fence: Some(1), extension: Some(extension), holder: Some(dead_holder()), ..Record::default() },
    );
    assert_eq!(busy(&session(directory.path()).await, &entry("next")).await.name, "dead");
}

#[tokio::test]
async fn a_process_that_only_looks_makes_no_lock_busy() {
    let directory = TempDir::new().unwrap();
    for record in [None, Some(dead_holder())] {
        leave_record_of(directory.path(), &Record { fence: Some(1), holder: record, ..Record::default() });
        let looking = fs::File::open(lock_file(directory.path())).unwrap();
        looking.lock_shared().unwrap();
        let session = session(directory.path()).await;
        let stop_looking = async {
            tokio::task::yield_now().await;
            looking.unlock().unwrap();
        };
        let entry = entry("x");
        // Polled in this order, so that the first try finds the file shared.
        let (_, ()) = tokio::join!(biased; held(&session, &entry), stop_looking);
        session.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_child_that_is_just_starting_does_not_keep_a_released_lock() {
    let directory = TempDir::new().unwrap();
    let session = session(directory.path()).await;
    let children = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while children.fetch_add(1, Ordering::Relaxed) < 300 {
                std::process::Command::new("true").status().unwrap();
            }
        });
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            while children.load(Ordering::Relaxed) < 300 {
                let entry = entry("x");
                runtime.block_on(held(&session, &entry));
                runtime.block_on(session.leave(entry)).unwrap();
                let file = fs::File::open(lock_file(directory.path())).unwrap();
                assert!(file.try_lock().is_ok(), "a child that has not yet executed its program shares the lock");
                file.unlock().unwrap();
            }
        });
    });
}

#[tokio::test]
async fn idle_files_are_removed_and_fences_go_on() {
    let directory = TempDir::new().unwrap();
    let (session, store) = (session(directory.path()).await, store(directory.path()));
    let (released, extended, holds) = (at("/released"), at("/extended"), at("/held"));
    let fence = held(&session, &released).await;
    for entry in [&extended, &holds] {
        held(&session, entry).await;
    }
    session.leave(released).await.unwrap();
    // Of a process that was killed.
    leave_record_of(
        directory.path(),
        &Record { fence: Some(fence * 2), holder: Some(dead_holder()), ..Record::default() },
    );
    let names = || {
        let names =
            fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut locks: Vec<_> = names.filter(|name| name.ends_with(".lock")).collect();
        locks.sort_unstable();
        locks
    };
    remove_idle(&store.0, Duration::from_secs(60)).unwrap();
    assert_eq!(names().len(), 4, "they are not idle yet");
    remove_idle(&store.0, Duration::ZERO).unwrap();
    assert_eq!(names(), ["%2Fextended.lock", "%2Fheld.lock"]);
    session.extend(Arc::clone(&extended), TTL).await.unwrap();
    session.close().await.unwrap();
    remove_idle(&store.0, Duration::ZERO).unwrap();
    assert_eq!(names(), ["%2Fextended.lock"]);
    let session = super::tests::session(directory.path()).await;
    assert!(held(&session, &entry("next")).await > fence * 2);
}

/// Who holds the lock of a removed file holds nothing, and notices.
#[test]
fn files_are_removed_beside_others_and_nobody_shares_a_lock() {
    const TURNS: u64 = 300;
    let directory = TempDir::new().unwrap();
    let (inside, last, turns) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                runtime.block_on(async {
                    let session = session(directory.path()).await;
                    while turns.fetch_add(1, Ordering::SeqCst) < TURNS {
                        let entry = entry("x");
                        session.enter(Arc::clone(&entry), crate::contract::WhenBusy::Queue).await.unwrap();
                        let fence = session.wait_turn(Arc::clone(&entry)).await.unwrap().fence;
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold the lock");
                        assert!(last.swap(fence, Ordering::SeqCst) < fence, "a fence that does not grow");
                        inside.fetch_sub(1, Ordering::SeqCst);
                        session.leave(entry).await.unwrap();
                    }
                });
            });
        }
        scope.spawn(|| {
            let store = store(directory.path());
            while turns.load(Ordering::SeqCst) < TURNS {
                remove_idle(&store.0, Duration::ZERO).unwrap();
            }
        });
    });
}

#[tokio::test]
async fn what_is_no_lock_file_blocks_nothing_and_is_named() {
    let directory = TempDir::new().unwrap();
    let session = session(directory.path()).await;
    let path = lock_file(directory.path());
    held(&session, &at("/other")).await;
    type Make = fn(&Path);
    let kinds: [(&str, Make); 5] = [
        ("a FIFO", |path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success())),
        ("a socket", |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap())),
        ("a directory", |path| fs::create_dir(path).unwrap()),
        ("a symbolic link", |path| std::os::unix::fs::symlink("/dev/zero", path).unwrap()),
        ("a symbolic link", |path| std::os::unix::fs::symlink(path, path).unwrap()),
    ];
    for (kind, make) in kinds {
        make(&path);
        let (mine, store) = (entry("mine"), store(directory.path()));
        let refusals = [
            session.enter(Arc::clone(&mine), crate::contract::WhenBusy::Refuse).await.unwrap_err(),
            store.inspect(Scope::Key(mine.key.clone())).await.unwrap_err(),
            store.force_release(mine.key.clone()).await.unwrap_err(),
        ];
        for error in refusals {
            assert_eq!(error.kind(), crate::values::error::ErrorKind::Unsupported, "{error:?}");
            assert!(error.to_string().contains(kind) && error.to_string().contains("remove it"), "{kind}: {error}");
        }
        let lines = store.inspect(Scope::Prefix(String::new())).await.unwrap();
        assert_eq!(lines.iter().map(|line| line.key.as_str()).collect::<Vec<_>>(), ["/other"]);
        remove_idle(&store.0, Duration::ZERO).unwrap();
        if path.is_dir() { fs::remove_dir(&path).unwrap() } else { fs::remove_file(&path).unwrap() }
    }
}

#[tokio::test]
async fn a_file_that_others_may_open_is_closed_to_them() {
    let directory = TempDir::new().unwrap();
    leave_record_of(directory.path(), &Record::default());
    fs::set_permissions(lock_file(directory.path()), fs::Permissions::from_mode(0o666)).unwrap();
    held(&session(directory.path()).await, &entry("x")).await;
    for file in fs::read_dir(directory.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[tokio::test]
async fn fences_go_on_though_everything_is_deleted_and_the_clock_goes_back() {
    let directory = TempDir::new().unwrap();
    let session = session(directory.path()).await;
    leave_record_of(directory.path(), &Record { fence: Some(u64::MAX >> 13), holder: None, ..Record::default() });
    let mine = entry("mine");
    let fence = held(&session, &mine).await;
    session.leave(mine).await.unwrap();
    // The store may be looking for idle files there.
    while fs::remove_dir_all(directory.path()).is_err() {}
    // By the wall clock it would be far less.
    assert!(held(&session, &entry("next")).await > fence);
}

#[tokio::test]
async fn many_files_are_listed_without_a_word_about_free_ones() {
    let directory = TempDir::new().unwrap();
    let session = session(directory.path()).await;
    held(&session, &entry("x")).await;
    for number in 0..10_000 {
        fs::write(directory.path().join(format!("%2Forder%2F{number}.lock")), "").unwrap();
    }
    assert_eq!(store(directory.path()).inspect(Scope::Prefix(String::new())).await.unwrap().len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_in_the_file_the_lock_works(bytes: Vec<u8>, as_line in any::<bool>()) {
        let directory = TempDir::new().unwrap();
        let content = if as_line { [&Record::default().to_bytes()[..], &bytes].concat() } else { bytes };
        fs::write(lock_file(directory.path()), content).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (one, two) = (session(directory.path()).await, session(directory.path()).await);
            let mine = entry("mine");
            assert!(store(directory.path()).inspect(Scope::Prefix(String::new())).await.unwrap().is_empty());
            let fence = held(&one, &mine).await;
            assert_eq!(busy(&two, &entry("theirs")).await, *mine.holder);
            one.leave(mine).await.unwrap();
            assert!(held(&two, &entry("theirs")).await > fence);
        });
    }
}
