//! What other processes leave in the files, or do to them, and what must not come of it.

use super::record::Record;
use super::tests::{busy, dead_holder, entry, held, leave_record_of, lock_file, session, store, world};
use super::timeline::Timeline;
use crate::contract::{Scope, Store};
use crate::values::holder::Holder;
use proptest::prelude::*;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const TTL: Duration = Duration::from_secs(10);

#[tokio::test]
async fn the_record_of_a_killed_holder_holds_nothing() {
    let directory = TempDir::new().unwrap();
    for holder in [dead_holder(), Holder::clone(&entry("alive").holder)] {
        leave_record_of(
            directory.path(),
            &Record { fence: Some(u64::MAX >> 13), extension: None, holder: Some(holder) },
        );
        let lines = store(directory.path()).inspect(Scope::Prefix(String::new())).await.unwrap();
        assert!(lines.is_empty(), "{lines:?}");
        assert_eq!(held(&session(directory.path()).await, &entry("next")).await, (u64::MAX >> 13) + 1);
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
    assert_eq!(lines().len(), 2);
}

#[tokio::test]
async fn a_killed_holders_extended_lock_stays_taken() {
    let directory = TempDir::new().unwrap();
    let extension = Timeline::new(&world()).after(TTL);
    leave_record_of(
        directory.path(),
        &Record { fence: Some(1), extension: Some(extension), holder: Some(dead_holder()) },
    );
    assert_eq!(busy(&session(directory.path()).await, &entry("next")).await.name, "dead");
}

#[tokio::test]
async fn a_process_that_only_looks_makes_no_lock_busy() {
    let directory = TempDir::new().unwrap();
    for record in [None, Some(dead_holder())] {
        leave_record_of(directory.path(), &Record { fence: Some(1), extension: None, holder: record });
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
