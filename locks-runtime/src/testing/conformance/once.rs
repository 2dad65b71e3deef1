//! What is done once: by one of all, remembered, and in the way of nothing else.

use super::fixture::{Fixture, PACES, attempt, hold, leave, queue, refused, soon};
use crate::api::locks::Locks;
use crate::api::once::{Once, Outcome};
use crate::contract::{Entered, Entry, Session};
use crate::values::done::Done;
use crate::values::error::{Error, ErrorKind};
use crate::values::key::Key;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

list! {
    once:
    |can| can.once => [
        what_is_done_is_not_done_again,
        a_call_meanwhile_waits_and_finds_it_done,
        of_many_at_once_one_does_it,
        a_call_that_does_not_wait_names_who_does_it,
        what_failed_is_not_done,
        what_was_dropped_or_panicked_is_not_done,
        the_next_one_does_it_when_the_first_has_failed,
        what_is_forgotten_is_done_again,
        a_record_is_no_lock_and_in_no_list,
        each_key_has_a_record_of_its_own,
        another_version_is_refused,
        any_version_survives_unless_it_is_too_long,
        once_inside_itself_is_refused,
        a_closed_client_does_nothing_once,
        only_the_holder_may_record,
    ]
    |can| can.once && can.force_release => [
        who_has_lost_the_lock_records_nothing,
    ]
}

/// Work by this name under a key, which counts itself.
async fn work(locks: &Locks, key: &str, name: &'static str, count: &AtomicUsize) -> Result<Outcome<usize>, Error> {
    let body = async |_| Ok(1 + count.fetch_add(1, Ordering::SeqCst));
    soon(name, locks.once(key).name(name).run(body)).await
}

/// As [`work`] of the key `work`, called "second", behind one called "first": it waits when this returns.
async fn begin_second(
    fixture: &Fixture,
    locks: &Locks,
    count: &Arc<AtomicUsize>,
) -> JoinHandle<Result<Outcome<usize>, Error>> {
    let (locks, key, count) = (locks.clone(), fixture.key("work"), Arc::clone(count));
    let second = tokio::spawn(async move { work(&locks, &key, "second", &count).await });
    fixture.until("work", &["first"], 1).await;
    second
}

/// Work that has begun when this returns, and ends with what is sent to it.
async fn begin(
    once: Once,
    name: &'static str,
) -> (mpsc::Sender<Result<(), Error>>, JoinHandle<Result<Outcome<()>, Error>>) {
    let ((end, mut ended), (begun, mut has_begun)) = (mpsc::channel(1), mpsc::channel(1));
    let body = async move |_| {
        begun.send(()).await.unwrap();
        ended.recv().await.unwrap_or_else(|| Err(failure()))
    };
    let running = tokio::spawn(once.name(name).run(body));
    soon("the beginning of the work", has_begun.recv()).await.unwrap();
    (end, running)
}

fn failure() -> Error {
    Error::new(ErrorKind::NotConfigured, "the work has failed")
}

async fn done(locks: &Locks, key: &str) -> Option<Done> {
    soon("a look at a record", locks.once(key).done()).await.unwrap()
}

async fn what_is_done_is_not_done_again(fixture: &Fixture) {
    let (one, other, key, count) = (fixture.client(), fixture.client(), fixture.key("work"), AtomicUsize::new(0));
    assert_eq!(done(&one, &key).await, None);
    let before = fixture.world().wall_ms();
    assert_eq!(work(&one, &key, "one", &count).await.unwrap(), Outcome::Ran(1));
    for locks in [&one, &other, &fixture.client()] {
        let Outcome::AlreadyDone(found) = work(locks, &key, "other", &count).await.unwrap() else {
            panic!("it was done again")
        };
        assert_eq!(
            (&*found.holder.name, found.holder.pid, found.version.as_deref()),
            ("one", std::process::id(), None)
        );
        assert!((before..=fixture.world().wall_ms()).contains(&found.at_ms), "{found:?}, and it began at {before}");
        assert_eq!(done(locks, &key).await, Some(*found));
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

async fn a_call_meanwhile_waits_and_finds_it_done(fixture: &Fixture) {
    let (one, other, key, count) =
        (fixture.client(), fixture.client(), fixture.key("work"), Arc::<AtomicUsize>::default());
    let (end, first) = begin(one.once(&key), "first").await;
    let second = begin_second(fixture, &other, &count).await;
    assert_eq!(done(&one, &key).await, None, "it is not done before it has ended");
    end.send(Ok(())).await.unwrap();
    assert_eq!(soon("the first", first).await.unwrap().unwrap(), Outcome::Ran(()));
    let found = soon("the second", second).await.unwrap().unwrap();
    assert!(matches!(&found, Outcome::AlreadyDone(done) if done.holder.name == "first"), "{found:?}");
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

async fn of_many_at_once_one_does_it(fixture: &Fixture) {
    let (key, count) = (fixture.key("work"), Arc::<AtomicUsize>::default());
    let clients = [fixture.client(), fixture.client(), fixture.client()];
    let all = clients.iter().cycle().take(12).map(|locks| {
        let (locks, key, count) = (locks.clone(), key.clone(), Arc::clone(&count));
        tokio::spawn(async move { work(&locks, &key, "one of many", &count).await.unwrap() })
    });
    let mut ran = 0;
    for one in all.collect::<Vec<_>>() {
        ran += usize::from(matches!(soon("one of many", one).await.unwrap(), Outcome::Ran(_)));
    }
    assert_eq!((ran, count.load(Ordering::SeqCst)), (1, 1));
}

async fn a_call_that_does_not_wait_names_who_does_it(fixture: &Fixture) {
    let (one, other, key) = (fixture.client(), fixture.client(), fixture.key("work"));
    let (end, first) = begin(one.once(&key), "first").await;
    let named = |error: &Error| assert_eq!(error.holder().map(|holder| &*holder.name), Some("first"), "{error:?}");
    let tried = |wait| soon("a try", other.once(&key).wait(wait).run(async |_| Ok::<_, Error>(())));
    named(&refused(tried(Duration::ZERO).await, ErrorKind::Busy));
    let mut refusals = Vec::new();
    for pace in PACES {
        // A store may take longer to answer than the first of them.
        refusals.extend(tried(pace).await.err().filter(|error| error.kind() != ErrorKind::Unavailable));
        if !refusals.is_empty() {
            break;
        }
    }
    named(&refused(refusals.pop().map_or(Ok(()), Err), ErrorKind::Timeout));
    end.send(Ok(())).await.unwrap();
    soon("the first", first).await.unwrap().unwrap();
    let found = soon("a look", other.once(&key).wait(Duration::ZERO).run(async |_| Ok::<_, Error>(()))).await.unwrap();
    assert!(matches!(found, Outcome::AlreadyDone(_)), "{found:?}");
}

async fn what_failed_is_not_done(fixture: &Fixture) {
    let (locks, key, count) = (fixture.client(), fixture.key("work"), AtomicUsize::new(0));
    for _ in 0..2 {
        let failed = soon("work that fails", locks.once(&key).run(async |_| Err::<(), _>(failure()))).await;
        assert_eq!(refused(failed, ErrorKind::NotConfigured).to_string(), failure().to_string());
        assert_eq!(done(&locks, &key).await, None);
        fixture.until("work", &[], 0).await;
    }
    assert_eq!(work(&locks, &key, "third", &count).await.unwrap(), Outcome::Ran(1));
}

async fn what_was_dropped_or_panicked_is_not_done(fixture: &Fixture) {
    let (locks, key, count) = (fixture.client(), fixture.key("work"), AtomicUsize::new(0));
    let (_end, running) = begin(locks.once(&key), "dropped").await;
    running.abort();
    fixture.until("work", &[], 0).await;
    let panics = AssertUnwindSafe(locks.clone());
    let key_of_it = key.clone();
    let panicked = tokio::spawn(async move {
        let body = async |_| -> Result<(), Error> { panic!("as the test wants it") };
        panics.once(&key_of_it).run(body).await
    });
    assert!(soon("a panic", panicked).await.unwrap_err().is_panic());
    fixture.until("work", &[], 0).await;
    assert_eq!(done(&locks, &key).await, None);
    assert_eq!(work(&locks, &key, "third", &count).await.unwrap(), Outcome::Ran(1));
}

async fn the_next_one_does_it_when_the_first_has_failed(fixture: &Fixture) {
    let (one, other, key, count) =
        (fixture.client(), fixture.client(), fixture.key("work"), Arc::<AtomicUsize>::default());
    let (end, first) = begin(one.once(&key), "first").await;
    let second = begin_second(fixture, &other, &count).await;
    end.send(Err(failure())).await.unwrap();
    refused(soon("the first", first).await.unwrap(), ErrorKind::NotConfigured);
    assert_eq!(soon("the second", second).await.unwrap().unwrap(), Outcome::Ran(1));
    assert_eq!(done(&one, &key).await.unwrap().holder.name, "second");
}

async fn what_is_forgotten_is_done_again(fixture: &Fixture) {
    let (one, other, key, count) = (fixture.client(), fixture.client(), fixture.key("work"), AtomicUsize::new(0));
    assert!(!one.forget(&key).await.unwrap(), "nothing was done yet");
    let mut fence = 0;
    for number in 1..=3 {
        assert_eq!(work(&one, &key, "work", &count).await.unwrap(), Outcome::Ran(number));
        let found = done(&other, &key).await.unwrap();
        assert!(!fixture.can().fencing || found.fence > fence, "{found:?} after {fence}");
        fence = found.fence;
        assert!(other.forget(&key).await.unwrap());
        assert_eq!(done(&one, &key).await, None);
        assert!(!one.forget(&key).await.unwrap());
    }
    // Who does it meanwhile records it.
    let (end, running) = begin(one.once(&key), "meanwhile").await;
    assert!(!other.forget(&key).await.unwrap());
    end.send(Ok(())).await.unwrap();
    soon("the work", running).await.unwrap().unwrap();
    assert_eq!(done(&other, &key).await.unwrap().holder.name, "meanwhile");
}

async fn a_record_is_no_lock_and_in_no_list(fixture: &Fixture) {
    let (locks, key, count) = (fixture.client(), fixture.key("work"), AtomicUsize::new(0));
    work(&locks, &key, "work", &count).await.unwrap();
    fixture.until("work", &[], 0).await;
    let nested = fixture.key("work/nested");
    for prefix in ["", "work", "work/"] {
        assert_eq!(locks.list(fixture.key(prefix)).await.unwrap(), []);
    }
    // Locks of that key, above and below it.
    for key in [fixture.key("").trim_end_matches('/'), &key, &nested] {
        let guard = soon("a lock", locks.lock(key).acquire()).await.unwrap();
        assert!(locks.inspect(key).await.unwrap().is_some());
        soon("its release", guard.release()).await.unwrap();
        assert!(locks.leader(key).current().await.unwrap().is_none());
    }
    work(&locks, &nested, "nested", &count).await.unwrap();
    if fixture.can().force_release {
        assert!(!locks.force_release(&key).await.unwrap(), "a record is nothing to release");
    }
    assert!(done(&locks, &key).await.is_some() && done(&locks, &nested).await.is_some());
}

async fn each_key_has_a_record_of_its_own(fixture: &Fixture) {
    let (locks, count) = (fixture.client(), AtomicUsize::new(0));
    let labels =
        ["a", "/a", "a/", "a//", "a/b", "a/b/c", "a%2Fb", "a.done", "%%done", "a done", "\u{e9}", "{a}", "\u{1f512}"];
    for (number, label) in labels.iter().enumerate() {
        let key = fixture.key(label);
        assert_eq!(work(&locks, &key, "work", &count).await.unwrap(), Outcome::Ran(number + 1), "{key}");
    }
    for label in labels {
        assert!(locks.forget(fixture.key(label)).await.unwrap(), "{label}");
    }
}

async fn another_version_is_refused(fixture: &Fixture) {
    let (locks, key, count) = (fixture.client(), fixture.key("work"), AtomicUsize::new(0));
    let once = |version: Option<&str>| {
        let once = locks.once(&key);
        let once = if let Some(version) = version { once.version(version) } else { once };
        soon("work", once.run(async |_| Ok::<_, Error>(count.fetch_add(1, Ordering::SeqCst))))
    };
    assert_eq!(once(Some("7")).await.unwrap(), Outcome::Ran(0));
    let error = refused(once(Some("8")).await, ErrorKind::InvalidOption).to_string();
    assert!(error.contains("`8`") && error.contains("version `7` by"), "{error}");
    for version in [Some("7"), None] {
        assert!(
            matches!(once(version).await.unwrap(), Outcome::AlreadyDone(done) if done.version.as_deref() == Some("7"))
        );
    }
    locks.forget(&key).await.unwrap();
    assert_eq!(once(None).await.unwrap(), Outcome::Ran(1));
    refused(once(Some("7")).await, ErrorKind::InvalidOption);
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

async fn any_version_survives_unless_it_is_too_long(fixture: &Fixture) {
    let locks = fixture.client();
    let versions = ["", " ", "'; DROP TABLE x; --", "\u{e9}\u{1f512}\n\t\u{1}\"\\", &"x".repeat(60_000)];
    for (number, version) in versions.into_iter().enumerate() {
        let key = fixture.key(&number.to_string());
        let ran = soon("work", locks.once(&key).version(version).run(async |_| Ok::<_, Error>(()))).await.unwrap();
        assert_eq!(ran, Outcome::Ran(()));
        assert_eq!(done(&locks, &key).await.unwrap().version.as_deref(), Some(version));
    }
    let key = fixture.key("too-long");
    let body = async |_| -> Result<(), Error> { panic!("nothing is done that cannot be recorded") };
    let error =
        refused(soon("work", locks.once(&key).version("x".repeat(65_536)).run(body)).await, ErrorKind::InvalidOption);
    assert!(error.to_string().contains("at most 65536"), "{error}");
    assert_eq!(done(&locks, &key).await, None);
    fixture.until("too-long", &[], 0).await;
}

async fn once_inside_itself_is_refused(fixture: &Fixture) {
    let (locks, key) = (fixture.client(), fixture.key("work"));
    let nothing = async |_| Ok::<_, Error>(());
    let inside = async |_| {
        let error = refused(locks.once(&key).run(nothing).await, ErrorKind::Deadlock);
        assert!(error.to_string().contains("outermost"), "{error}");
        // Another key is none of its business.
        locks.once(fixture.key("other")).run(nothing).await
    };
    soon("work inside work", locks.once(&key).name("outermost").run(inside)).await.unwrap();
    let under_a_lock = async |_| refused(locks.once(fixture.key("third")).run(nothing).await, ErrorKind::Deadlock);
    soon("work under a lock", locks.lock(fixture.key("third")).run(under_a_lock)).await.unwrap();
    assert!(done(&locks, &key).await.is_some() && done(&locks, &fixture.key("other")).await.is_some());
    assert_eq!(done(&locks, &fixture.key("third")).await, None);
}

async fn a_closed_client_does_nothing_once(fixture: &Fixture) {
    let (locks, other, key) = (fixture.client(), fixture.client(), fixture.key("work"));
    let running = tokio::spawn(locks.once(&key).name("stopped").run(async |_| pending::<Result<(), Error>>().await));
    fixture.until("work", &["stopped"], 0).await;
    locks.close().await;
    refused(soon("work of a client that is closed", running).await.unwrap(), ErrorKind::Closed);
    refused(locks.once(&key).run(async |_| Ok::<_, Error>(())).await, ErrorKind::Closed);
    assert_eq!(done(&other, &key).await, None);
}

async fn who_has_lost_the_lock_records_nothing(fixture: &Fixture) {
    let (locks, other, key, count) = (fixture.client(), fixture.client(), fixture.key("work"), AtomicUsize::new(0));
    let (_end, first) = begin(locks.once(&key), "first").await;
    assert!(other.force_release(&key).await.unwrap());
    assert_eq!(work(&other, &key, "second", &count).await.unwrap(), Outcome::Ran(1));
    refused(soon("the loss", first).await.unwrap(), ErrorKind::Lost);
    assert_eq!(done(&locks, &key).await.unwrap().holder.name, "second");
}

/// Asks the session itself.
async fn mark(session: &Arc<dyn Session>, entry: &Arc<Entry>, record: &str) -> Result<(), Error> {
    soon("a record", session.mark_done(Arc::clone(entry), record.into())).await
}

async fn only_the_holder_may_record(fixture: &Fixture) {
    let (one, other, store) = (fixture.session().await, fixture.session().await, fixture.store());
    let key = Key::new(fixture.key("work")).unwrap();
    let record = || async { store.done(key.clone()).await.unwrap() };
    let (holder, waiter, stranger) =
        (fixture.entry("work", "holder"), fixture.entry("work", "waiter"), fixture.entry("work", "stranger"));
    refused(mark(&one, &stranger, "never entered").await, ErrorKind::Lost);
    hold(&one, &holder).await;
    queue(&other, &waiter).await;
    assert!(matches!(attempt(&other, &stranger).await, Entered::Busy(_)));
    refused(mark(&other, &stranger, "was refused").await, ErrorKind::Lost);
    assert_eq!(record().await, None);
    for text in ["first", "first", "second"] {
        mark(&one, &holder, text).await.unwrap();
        assert_eq!(record().await.as_deref(), Some(text));
    }
    leave(&one, &holder).await;
    refused(mark(&one, &holder, "has left").await, ErrorKind::Lost);
    soon("the turn of the waiter", other.wait_turn(Arc::clone(&waiter))).await.unwrap();
    refused(mark(&one, &holder, "has left").await, ErrorKind::Lost);
    mark(&other, &waiter, "third").await.unwrap();
    soon("the end of a session", other.close()).await.unwrap();
    refused(mark(&other, &waiter, "its session is closed").await, ErrorKind::Lost);
    assert_eq!(record().await.as_deref(), Some("third"), "it stays when its session has ended");
    assert!(store.forget(key.clone()).await.unwrap() && !store.forget(key.clone()).await.unwrap());
    assert_eq!(record().await, None);
}
