//! The body is all of it: every argument is dropped before the lock is released, in the order in which functions drop them.

use crate::store;
use distributed_locks::{Locks, current, distributed_lock, scoped};
use std::sync::Mutex;

/// What was dropped, and whether the lock was held.
#[derive(Debug, Default)]
struct Log(Mutex<Vec<(&'static str, bool)>>);

/// Reports its drop.
struct Tracked<'a>(&'static str, &'a Log);

impl Drop for Tracked<'_> {
    fn drop(&mut self) {
        self.1.0.lock().unwrap().push((self.0, current().is_some()));
    }
}

impl Log {
    fn tracked(&self, name: &'static str) -> Tracked<'_> {
        Tracked(name, self)
    }

    /// Drops under the lock, by name.
    #[track_caller]
    fn assert_dropped(&self, expected: &[&'static str]) {
        let expected: Vec<_> = expected.iter().map(|name| (*name, true)).collect();
        assert_eq!(std::mem::take(&mut *self.0.lock().unwrap()), expected);
    }
}

struct Both<'a> {
    first: Tracked<'a>,
    second: Tracked<'a>,
}

#[distributed_lock(key = "/arguments/named")]
async fn named(_first: Tracked<'_>, _second: Tracked<'_>) -> Option<()> {
    Some(())
}

#[distributed_lock(key = "/arguments/plain")]
fn plain(_first: Tracked<'_>, _: Tracked<'_>) -> Option<()> {
    Some(())
}

#[distributed_lock(key = "/arguments/without-name")]
async fn without_name(_: Tracked<'_>, (first, _): (Tracked<'_>, Tracked<'_>)) -> Option<&'static str> {
    Some(first.0)
}

#[distributed_lock(key = "/arguments/field")]
async fn field(both: Both<'_>) -> Option<&'static str> {
    let first = both.first;
    Some(first.0)
}

#[distributed_lock(key = "/arguments/rest/{number}")]
async fn rest(Both { second, .. }: Both<'_>, number: u8) -> Option<&'static str> {
    Some(second.0)
}

impl Both<'_> {
    #[distributed_lock(key = "/arguments/self")]
    async fn receiver(self, _last: Tracked<'_>) -> Option<()> {
        Some(())
    }
}

fn both(log: &Log) -> Both<'_> {
    Both { first: log.tracked("first"), second: log.tracked("second") }
}

#[tokio::test]
async fn arguments_are_dropped_under_the_lock() {
    let log = Log::default();
    scoped(store("arguments"), async {
        named(log.tracked("first"), log.tracked("second")).await.unwrap();
        log.assert_dropped(&["second", "first"]);
        without_name(log.tracked("outer"), (log.tracked("first"), log.tracked("second"))).await.unwrap();
        let dropped: Vec<_> = log.0.lock().unwrap().drain(..).collect();
        assert!(dropped.len() == 3 && dropped.iter().all(|(_, held)| *held), "{dropped:?}");
        field(both(&log)).await.unwrap();
        log.assert_dropped(&["first", "second"]);
        rest(both(&log), 1).await.unwrap();
        log.assert_dropped(&["second", "first"]);
        both(&log).receiver(log.tracked("last")).await.unwrap();
        log.assert_dropped(&["last", "first", "second"]);
    })
    .await;
}

#[test]
fn arguments_of_a_plain_function_too() {
    let (log, locks): (Log, Locks) = (Log::default(), store("arguments-plain"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(scoped(locks, async {
        plain(log.tracked("first"), log.tracked("second")).unwrap();
    }));
    log.assert_dropped(&["second", "first"]);
}
