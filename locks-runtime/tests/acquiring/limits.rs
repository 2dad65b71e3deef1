//! Calls that count different numbers of permits for one lock: each is right by its own, and together they are more.

use crate::events::Warnings;
use crate::{TTL, seconds};
use locks_runtime::testing::TestStore;
use locks_runtime::{ErrorKind, Lock, Locks, Mode};
use std::time::Duration;
use tokio::time::sleep;

const REPORT: &str = "different numbers of permits";

fn permit(locks: &Locks, name: &'static str, permits: u32) -> Lock {
    locks.lock("k").ttl(TTL).name(name).mode(Mode::Permits(permits))
}

/// Whoever is refused learns of the holder at no cost: of one of another process, and of its own.
#[tokio::test(start_paused = true)]
async fn another_limit_is_reported_once_for_each_name() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let warnings = Warnings::collect();
    let held = permit(&theirs, "new version", 2).acquire().await.unwrap();
    for (locks, name) in [(&ours, "old version"), (&theirs, "of the same process")] {
        for _ in 0..3 {
            let busy = permit(locks, name, 1).wait(Duration::ZERO).acquire().await.unwrap_err();
            assert_eq!(busy.kind(), ErrorKind::Busy);
        }
        let reported = warnings.with(REPORT);
        assert_eq!(reported.len(), 1, "{reported:?}");
        for part in ["key=k", &format!("waiter={name}"), " permits=1", "holder=new version", "holder.permits=2"] {
            assert!(reported[0].contains(part), "{part} in {reported:?}");
        }
        warnings.clear();
    }
    // What is refused by the rule, whatever the numbers, is no news.
    for mode in [Mode::Exclusive, Mode::Shared] {
        let busy = ours.lock("k").name("no permit").mode(mode).wait(Duration::ZERO).acquire().await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Busy);
    }
    let second = permit(&ours, "same limit", 2).acquire().await.unwrap();
    permit(&ours, "same limit", 2).wait(Duration::ZERO).acquire().await.unwrap_err();
    assert_eq!(warnings.with(REPORT), [""; 0]);
    held.release().await.unwrap();
    second.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn another_limit_is_reported_by_who_waits_in_vain_or_for_long() {
    let store = TestStore::new();
    let (ours, theirs) = (store.client(), store.client());
    let held = permit(&theirs, "holder", 2).acquire().await.unwrap();
    let warnings = Warnings::collect();
    let timeout = permit(&ours, "waits in vain", 1).wait(seconds(1)).acquire().await.unwrap_err();
    assert_eq!((timeout.kind(), warnings.with(REPORT).len()), (ErrorKind::Timeout, 1));
    warnings.clear();
    let waiting = tokio::spawn(permit(&ours, "waits for long", 1).acquire());
    sleep(TTL).await;
    assert_eq!(warnings.with(REPORT), [""; 0], "no look is worth it");
    sleep(TTL * 5).await;
    assert_eq!(warnings.with(REPORT).len(), 1);
    held.release().await.unwrap();
    waiting.await.unwrap().unwrap().release().await.unwrap();
}
