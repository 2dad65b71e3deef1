//! How holds and sessions end, and at which level that is told.

use crate::log::{BACKGROUND, CAUSE, alarms, logging};
use crate::measured::measured_for;
use distributed_locks::testing::TestStore;
use distributed_locks::{Error, ErrorKind, Guard, Locks, OnLost};
use metrics_util::debugging::DebuggingRecorder;
use std::future::Future;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Waker};
use std::time::Duration;
use support::HANG_LIMIT;
use tokio::task::yield_now;
use tokio::time::sleep;

type Acquiring = Pin<Box<dyn Future<Output = Result<Guard, Error>> + Send>>;

#[tokio::test(start_paused = true)]
async fn a_loss_is_an_error_and_failing_renewals_are_warnings() {
    LazyLock::force(&BACKGROUND);
    let (log, _logging) = logging();
    let store = TestStore::new();
    let guard = store.client().lock("lost").acquire().await.unwrap();
    store.faults().set_down(true);
    guard.lost().await;
    let text = log.text();
    assert!(text.lines().any(|line| line.contains("WARN") && line.contains("could not be renewed")), "{text}");
    assert_eq!(
        text.lines().filter(|line| line.contains("ERROR") && line.contains("lost while held")).count(),
        1,
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_closed_loses_nothing() {
    LazyLock::force(&BACKGROUND);
    let (log, _logging) = logging();
    let recorder = DebuggingRecorder::new();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let store = TestStore::new();
    let locks = store.client();
    let guard = locks.lock("closed").name("closed").acquire().await.unwrap();
    // One body that is stopped, one that runs on, and one whose task was aborted just before.
    let cancelled = tokio::spawn(locks.lock("cancelled").name("closed").run(|_| std::future::pending::<()>()));
    let runs_on = locks.lock("continued").name("closed").on_lost(OnLost::Continue);
    let continued = tokio::spawn(runs_on.run(|guard| async move { guard.lost().await.kind() }));
    let aborted = tokio::spawn(locks.lock("aborted").name("closed").run(|_| std::future::pending::<()>()));
    sleep(Duration::from_secs(1)).await;
    aborted.abort();
    locks.close().await;
    let stopped = cancelled.await.unwrap().unwrap_err();
    assert_eq!((stopped.kind(), guard.check().unwrap_err().kind()), (ErrorKind::Closed, ErrorKind::Closed));
    assert!(stopped.to_string().contains("the client was closed") && !stopped.is_retryable(), "{stopped}");
    assert_eq!(continued.await.unwrap().unwrap(), ErrorKind::Closed);
    drop(guard);
    yield_now().await;
    assert_eq!(alarms(&log), [""; 0]);
    assert!(!measured_for("closed", &recorder).contains_key("locks_lost_total"));
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_passed_is_one_warning_and_no_loss() {
    LazyLock::force(&BACKGROUND);
    let (log, _logging) = logging();
    let recorder = DebuggingRecorder::new();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let locks = TestStore::new().client();
    for on_lost in [OnLost::Cancel, OnLost::Continue] {
        let lock = locks.lock("limited").name("limited").hold_at_most(Duration::from_secs(3)).on_lost(on_lost);
        let error = lock.run(|_| std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitPassed);
        assert!(error.to_string().contains("`hold_at_most`") && error.to_string().contains("3s"), "{error}");
        assert!(!error.is_retryable());
    }
    let guard = locks.lock("guard").name("limited").hold_at_most(Duration::from_secs(3)).acquire().await.unwrap();
    assert_eq!(guard.lost().await.kind(), ErrorKind::LimitPassed);
    // A body that joins a hold has a limit of its own.
    let inner = locks.clone();
    let outer = locks.lock("outer").run(|_| async move {
        inner.lock("outer").hold_at_most(Duration::from_secs(3)).run(|_| std::future::pending::<()>()).await
    });
    assert_eq!(outer.await.unwrap().unwrap_err().kind(), ErrorKind::LimitPassed);
    let alarms = alarms(&log);
    assert_eq!(alarms.len(), 4, "{alarms:?}");
    assert!(alarms.iter().all(|line| line.contains("WARN") && line.contains("`hold_at_most` passed")), "{alarms:?}");
    assert!(!measured_for("limited", &recorder).contains_key("locks_lost_total"));
    assert!(log.text().contains("outcome=\"limit_passed\""), "{}", log.text());
}

/// A loss says which it was: the store refused, the store was silent, or the process did not run.
#[tokio::test(start_paused = true)]
async fn a_loss_says_what_there_was_instead_of_a_renewal() {
    LazyLock::force(&BACKGROUND);
    let ttl = Duration::from_secs(10);
    let lost = async |harm: &dyn Fn(&TestStore)| {
        let store = TestStore::new();
        let guard = store.client().lock("k").ttl(ttl).acquire().await.unwrap();
        sleep(ttl * 3).await;
        harm(&store);
        guard.lost().await.to_string()
    };
    let refused = lost(&|store| store.faults().set_down(true)).await;
    assert!(refused.contains("no renewal succeeded in time: the memory store is down"), "{refused}");
    let silent = lost(&|store| store.faults().set_silent(true)).await;
    assert!(silent.contains("the store did not acknowledge a renewal in time;"), "{silent}");

    let store = TestStore::new();
    let guard = store.client().lock("k").ttl(ttl).acquire().await.unwrap();
    sleep(ttl * 3).await;
    tokio::time::advance(ttl * 2).await;
    let paused = guard.check().unwrap_err().to_string();
    assert!(
        paused.contains("the process was paused, or got no processor, for ") && !paused.contains("store"),
        "{paused}"
    );
}

/// The reason is in the error, and the store is not asked a dozen times.
#[tokio::test(start_paused = true)]
async fn renewals_that_are_refused_are_warned_of_once_and_named_in_the_loss() {
    LazyLock::force(&BACKGROUND);
    let (log, _logging) = logging();
    let store = TestStore::new();
    let guard = store.client().lock("k").ttl(Duration::from_secs(10)).acquire().await.unwrap();
    store.faults().set_refusing(true);
    let lost = guard.lost().await;
    let reason = format!("no renewal succeeded in time: the memory store refuses the user: a test said so: {CAUSE}");
    assert!(lost.kind() == ErrorKind::Lost && lost.to_string().contains(&reason), "{lost}");
    let text = log.text();
    let refused: Vec<_> = text.lines().filter(|line| line.contains("could not be renewed")).collect();
    assert!((3..=9).contains(&refused.len()), "{text}");
    assert_eq!(refused.iter().filter(|line| line.contains("WARN") && line.contains(CAUSE)).count(), 1, "{text}");
}

#[tokio::test(start_paused = true)]
async fn renewals_that_succeed_again_are_told() {
    LazyLock::force(&BACKGROUND);
    let (log, _logging) = logging();
    let store = TestStore::new();
    let guard = store.client().lock("k").acquire().await.unwrap();
    for _ in 0..2 {
        store.faults().set_down(true);
        sleep(Duration::from_secs(5)).await;
        store.faults().set_down(false);
        sleep(Duration::from_secs(10)).await;
    }
    guard.check().unwrap();
    let alarms = alarms(&log);
    let told: Vec<_> = alarms.iter().map(|line| line.contains("renewed again")).collect();
    assert_eq!(told, [false, true, false, true], "{alarms:?}");
}

/// A lock is acquired all the same; what differs is how long it outlives a process that dies.
#[tokio::test]
async fn a_ttl_that_the_store_cannot_keep_is_raised_and_said_so_once() {
    LazyLock::force(&BACKGROUND);
    let directory = tempfile::tempdir().unwrap();
    for url in ["memory:observed-ttl".to_owned(), format!("file://{}/locks", directory.path().display())] {
        let locks = Locks::connect(&url).unwrap();
        for _ in 0..3 {
            let lock = locks.lock("k").ttl(Duration::from_millis(1)).wait(HANG_LIMIT);
            lock.acquire().await.unwrap().release().await.unwrap();
        }
        locks.close().await;
    }
    let text = BACKGROUND.text();
    let raised: Vec<_> = text.lines().filter(|line| line.contains("no TTL as short")).collect();
    assert!(
        raised.len() == 2 && raised.iter().all(|line| line.contains("WARN") && line.contains("asked=1ms granted=")),
        "{text}"
    );
}

/// Its future is not polled, and that is no fault of its: the service is stopping.
#[tokio::test(start_paused = true)]
async fn what_a_drain_withdraws_is_no_warning() {
    LazyLock::force(&BACKGROUND);
    let (log, _logging) = logging();
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let poll = |future: &mut Acquiring| future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
    // One that the store grants, and one that is handed off.
    let held = theirs.lock("granted").acquire().await.unwrap();
    let lock = || ours.lock("handed off").acquire();
    let first = lock().await.unwrap();
    let mut aside: [Acquiring; 2] = [Box::pin(ours.lock("granted").acquire()), Box::pin(lock())];
    assert!(aside.iter_mut().all(poll));
    sleep(Duration::from_millis(50)).await;
    held.release().await.unwrap();
    first.release().await.unwrap();
    sleep(Duration::from_millis(50)).await;
    assert!(ours.drain(Duration::ZERO).await.is_complete());
    assert!(theirs.list("").await.unwrap().is_empty());
    assert_eq!(alarms(&log), [""; 0]);
    drop(aside);
}
