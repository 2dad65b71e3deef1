//! What is done once, where the store fails: under paused time in memory, and in files that somebody else has touched.
#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]

mod lacking;

use lacking::Lacking;
use locks_runtime::store::{Defaults, Store, World};
use locks_runtime::stores::memory::Memory;
use locks_runtime::testing::TestStore;
use locks_runtime::{Done, Error, ErrorKind, Key, Locks, Outcome};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// What every lock has that names none.
const TTL: Duration = Duration::from_secs(10);

async fn done(locks: &Locks) -> Option<Done> {
    locks.once("k").done().await.unwrap()
}

async fn run(locks: &Locks, count: &AtomicUsize) -> Result<Outcome<usize>, Error> {
    locks.once("k").run(async |_| Ok(1 + count.fetch_add(1, Ordering::SeqCst))).await
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_answer_was_lost_is_written_again() {
    let (store, count) = (TestStore::new(), AtomicUsize::new(0));
    let locks = store.client();
    for answers in [1, 3] {
        let body = async |_| {
            store.faults().lose_answers(answers);
            Ok::<_, Error>(count.fetch_add(1, Ordering::SeqCst))
        };
        assert!(matches!(locks.once("k").run(body).await.unwrap(), Outcome::Ran(_)));
        assert!(done(&locks).await.is_some() && locks.forget("k").await.unwrap());
    }
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_full_for_a_moment_has_the_record_then() {
    let (store, count) = (TestStore::new(), AtomicUsize::new(0));
    let locks = store.client();
    let body = async |_| {
        store.faults().set_full(true);
        Ok::<_, Error>(count.fetch_add(1, Ordering::SeqCst))
    };
    let room = async {
        tokio::time::sleep(TTL / 2).await;
        assert_eq!((done(&locks).await, count.load(Ordering::SeqCst)), (None, 1));
        store.faults().set_full(false);
    };
    let (ran, ()) = tokio::join!(locks.once("k").run(body), room);
    assert_eq!(ran.unwrap(), Outcome::Ran(0));
    assert!(done(&locks).await.is_some());
}

/// The hold is renewed meanwhile: it would wait for ever.
#[tokio::test(start_paused = true)]
async fn who_cannot_record_it_says_so_and_the_next_one_does_it_again() {
    let (store, count) = (TestStore::new(), AtomicUsize::new(0));
    let locks = store.client();
    let begun = Instant::now();
    let body = async |_| {
        store.faults().set_full(true);
        Ok::<_, Error>(count.fetch_add(1, Ordering::SeqCst))
    };
    let error = locks.once("k").run(body).await.unwrap_err();
    assert_eq!((error.kind(), error.key().map(Key::as_str)), (ErrorKind::Unavailable, Some("k")));
    assert!(error.to_string().contains("could not be recorded: whoever is next does it again"), "{error}");
    assert!(format!("{error:?}").contains("the memory store is full"), "{error:?}");
    assert!((TTL..2 * TTL).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    store.faults().set_full(false);
    assert_eq!(done(&locks).await, None);
    assert_eq!(run(&locks, &count).await.unwrap(), Outcome::Ran(2));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_the_record_is_not_asked_again() {
    let (store, count) = (TestStore::new(), AtomicUsize::new(0));
    let locks = store.client();
    let body = async |_| {
        store.faults().set_refusing(true);
        Ok::<_, Error>(())
    };
    let begun = Instant::now();
    let error = locks.once("k").run(body).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error:?}");
    assert!(begun.elapsed() < TTL && error.to_string().contains("could not be recorded"), "{error}");
    store.faults().set_refusing(false);
    assert_eq!(run(&locks, &count).await.unwrap(), Outcome::Ran(1));
}

/// Its process was away for so long that another has done it since.
#[tokio::test(start_paused = true)]
async fn who_is_too_late_records_nothing() {
    let (store, count) = (TestStore::new(), AtomicUsize::new(0));
    let (ours, theirs) = (store.client(), store.client());
    let body = async |_| {
        store.expire_sessions();
        assert_eq!(run(&theirs, &count).await.unwrap(), Outcome::Ran(1));
        Ok::<_, Error>(())
    };
    let error = ours.once("k").run(body).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost, "{error:?}");
    assert!(error.to_string().contains("could not be recorded"), "{error}");
    let Some(found) = done(&ours).await else { panic!("it was done") };
    assert!(matches!(run(&theirs, &count).await.unwrap(), Outcome::AlreadyDone(known) if *known == found));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_before_it_begins_runs_nothing() {
    let (store, count) = (TestStore::new(), AtomicUsize::new(0));
    let locks = store.client();
    store.faults().set_down(true);
    assert_eq!(run(&locks, &count).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(locks.forget("k").await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(count.load(Ordering::SeqCst), 0);
    for key in ["", "a\nb", &"k".repeat(600)] {
        let nothing = async |_| Ok::<_, Error>(());
        assert_eq!(locks.once(key).run(nothing).await.unwrap_err().kind(), ErrorKind::InvalidKey);
        assert_eq!(locks.once(key).done().await.unwrap_err().kind(), ErrorKind::InvalidKey);
        assert_eq!(locks.forget(key).await.unwrap_err().kind(), ErrorKind::InvalidKey);
    }
    let no_ttl = locks.once("k").ttl(Duration::ZERO).run(async |_| Ok::<_, Error>(())).await;
    assert_eq!(no_ttl.unwrap_err().kind(), ErrorKind::InvalidOption);
}

#[tokio::test]
async fn a_store_that_cannot_remember_refuses_at_the_first_call() {
    let (store, count) = (
        Arc::new(Lacking(Memory::new(&World::background().unwrap()), |claimed| claimed.once = false)),
        AtomicUsize::new(0),
    );
    let locks = Locks::with_store(Arc::clone(&store) as _, Defaults::default()).unwrap();
    let refused = [
        run(&locks, &count).await.unwrap_err(),
        locks.once("k").done().await.unwrap_err(),
        locks.forget("k").await.unwrap_err(),
        store.done(Key::new("k").unwrap()).await.unwrap_err(),
        store.forget(Key::new("k").unwrap()).await.unwrap_err(),
    ];
    for error in refused {
        assert_eq!((error.kind(), error.key().map(Key::as_str)), (ErrorKind::Unsupported, Some("k")), "{error:?}");
        assert!(error.to_string().contains("cannot remember what was done once"), "{error}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_somebody_else_has_touched_is_done_or_an_error_and_never_half_a_record() {
    let (directory, count) = (tempfile::tempdir().unwrap(), AtomicUsize::new(0));
    let locks = Locks::connect(format!("file://{}", directory.path().display())).unwrap();
    // What a process that was killed has left, in the middle of writing it.
    std::fs::write(directory.path().join("k.new"), "x".repeat(100_000)).unwrap();
    assert_eq!(run(&locks, &count).await.unwrap(), Outcome::Ran(1));
    let file = directory.path().join("k.done");
    let record = std::fs::read_to_string(&file).unwrap();
    assert!(record.starts_with('{') && record.ends_with('}'), "{record}");
    for odd in ["", "{", "null", &"x".repeat(70_000)] {
        std::fs::write(&file, odd).unwrap();
        let Some(found) = done(&locks).await else { panic!("it is done") };
        assert!(!found.holder.is_known() && found.to_string().contains("cannot be read"), "{found}");
        assert!(matches!(run(&locks, &count).await.unwrap(), Outcome::AlreadyDone(_)));
    }
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let error = run(&locks, &count).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unsupported && error.to_string().contains("k.done"), "{error:?}");
    std::fs::remove_dir(&file).unwrap();
    assert_eq!(run(&locks, &count).await.unwrap(), Outcome::Ran(2));
}
