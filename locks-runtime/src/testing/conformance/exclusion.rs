//! Many at once.

use super::fixture::{Fixture, acquire, soon};
use crate::api::guard::Guard;
use crate::api::locks::Locks;
use crate::values::error::ErrorKind;
use crate::values::fence::Fence;
use crate::world::World;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::timeout;

list! {
    exclusion:
    |_| true => [
        clients_never_hold_at_once,
        withdrawals_do_not_mix_up_holds,
        a_hundred_locks_are_held_at_once,
    ]
    |can| can.fencing => [
        fences_grow_with_every_hold,
    ]
}

/// What only one may be in at a time.
#[derive(Debug)]
struct Section {
    world: World,
    inside: AtomicUsize,
    passed: AtomicUsize,
    last: Mutex<Option<Fence>>,
    fencing: bool,
}

/// A body inside; dropping it is leaving, also when the body is dropped half way.
struct Inside<'a>(&'a Section);

impl Section {
    fn new(fencing: bool, world: World) -> Self {
        let (inside, passed, last) = (AtomicUsize::default(), AtomicUsize::default(), Mutex::default());
        Self { world, inside, passed, last, fencing }
    }

    fn enter(&self, guard: &Guard) -> Inside<'_> {
        assert_eq!(self.inside.fetch_add(1, Ordering::SeqCst), 0, "two hold `{}` at once", guard.key());
        let inside = Inside(self);
        let last = self.last.lock().unwrap().replace(guard.fence());
        assert!(!self.fencing || last < Some(guard.fence()), "{last:?} and then {:?}", guard.fence());
        self.passed.fetch_add(1, Ordering::SeqCst);
        inside
    }

    async fn pass(&self, guard: &Guard) {
        let _inside = self.enter(guard);
        for _ in 0..self.world.bits() % 4 {
            tokio::task::yield_now().await;
        }
        guard.check().unwrap();
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

fn section(fixture: &Fixture) -> Arc<Section> {
    Arc::new(Section::new(fixture.can().fencing, fixture.world().clone()))
}

async fn clients_never_hold_at_once(fixture: &Fixture) {
    const CLIENTS: usize = 4;
    const TASKS: usize = 3;
    const TIMES: usize = 12;
    let (section, key) = (section(fixture), fixture.key("k"));
    let mut tasks = Vec::new();
    for _ in 0..CLIENTS {
        let locks = fixture.client();
        for _ in 0..TASKS {
            let (locks, key, section) = (locks.clone(), key.clone(), Arc::clone(&section));
            tasks.push(tokio::spawn(async move {
                for _ in 0..TIMES {
                    locks.lock(&key).run(async |guard| section.pass(&guard).await).await.unwrap();
                }
            }));
        }
    }
    for task in tasks {
        soon("many bodies under one lock", task).await.unwrap();
    }
    assert_eq!(section.passed.load(Ordering::SeqCst), CLIENTS * TASKS * TIMES);
    fixture.is_free("k").await;
}

async fn withdrawals_do_not_mix_up_holds(fixture: &Fixture) {
    let sections = ["a", "b"].map(|label| (fixture.key(label), section(fixture)));
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let locks = fixture.client();
        for _ in 0..4 {
            let (locks, sections) = (locks.clone(), sections.clone());
            tasks.push(tokio::spawn(async move {
                for _ in 0..20 {
                    let (key, section) = &sections[usize::from(sections[0].1.world.bits().is_multiple_of(2))];
                    once(&locks, key, section).await;
                }
            }));
        }
    }
    for task in tasks {
        soon("many that withdraw", task).await.unwrap();
    }
    for (label, (key, section)) in ["a", "b"].iter().zip(&sections) {
        acquire(&fixture.client(), key, "last").await.release().await.unwrap();
        fixture.until(label, &[], 0).await;
        assert!(section.passed.load(Ordering::SeqCst) > 0, "`{key}` was never held");
    }
}

/// One of the ways to acquire a lock, to withdraw, or to release it.
async fn once(locks: &Locks, key: &str, section: &Arc<Section>) {
    let moment = section.world.between(Duration::ZERO, Duration::from_millis(6));
    match section.world.bits() % 6 {
        0 => {
            let guard = locks.lock(key).acquire().await.unwrap();
            section.pass(&guard).await;
            guard.release().await.unwrap();
        }
        1 => {
            let guard = locks.lock(key).acquire().await.unwrap();
            section.pass(&guard).await;
        }
        2 => {
            if let Some(guard) = locks.lock(key).try_acquire().await.unwrap() {
                section.pass(&guard).await;
            }
        }
        3 => match locks.lock(key).wait(moment.max(Duration::from_micros(1))).acquire().await {
            Ok(guard) => section.pass(&guard).await,
            // A store that did not answer in so short a time has not said that the lock is held.
            Err(error) if error.is_retryable() && error.kind() != ErrorKind::Busy => {}
            Err(error) => panic!("{error:?}"),
        },
        4 => {
            if let Ok(guard) = timeout(moment, locks.lock(key).acquire()).await {
                section.pass(&guard.unwrap()).await;
            }
        }
        _ => {
            let body = |guard: Guard| async move {
                let _inside = section.enter(&guard);
                tokio::time::sleep(moment / 2).await;
            };
            if let Ok(result) = timeout(moment, locks.lock(key).run(body)).await {
                result.unwrap();
            }
        }
    }
}

async fn fences_grow_with_every_hold(fixture: &Fixture) {
    let key = fixture.key("k");
    let mut clients = [fixture.client(), fixture.client(), fixture.client()];
    let mut last = None;
    for round in 0..24 {
        let slot = &mut clients[round % 3];
        let guard = acquire(slot, &key, "holder").await;
        assert!(last < Some(guard.fence()), "{last:?} and then {:?}, in round {round}", guard.fence());
        assert!(last.map(Fence::to_u64) < Some(guard.fence().to_u64()));
        last = Some(guard.fence());
        match round % 4 {
            0 => drop(guard),
            1 => {
                drop(guard);
                slot.close().await;
                *slot = fixture.client();
            }
            _ => guard.release().await.unwrap(),
        }
    }
}

async fn a_hundred_locks_are_held_at_once(fixture: &Fixture) {
    let (ours, theirs) = (fixture.client(), fixture.client());
    let keys: Vec<_> = (0..100).map(|number| fixture.key(&format!("k{number:02}"))).collect();
    let taking: Vec<_> = keys.iter().map(|key| tokio::spawn(ours.lock(key).name("us").acquire())).collect();
    let mut guards = Vec::new();
    for guard in taking {
        guards.push(soon("one of many locks", guard).await.unwrap().unwrap());
    }
    let listed = theirs.list(fixture.prefix()).await.unwrap();
    assert_eq!(listed.iter().map(|line| line.key.as_str()).collect::<Vec<_>>(), keys);
    assert!(listed.iter().all(|line| line.holders.len() == 1 && line.waiters.is_empty()), "{listed:?}");
    for key in keys.iter().step_by(10) {
        assert!(theirs.lock(key).try_acquire().await.unwrap().is_none(), "two hold `{key}`");
    }
    for guard in &guards {
        guard.check().unwrap();
    }
    for guard in guards {
        guard.release().await.unwrap();
    }
    assert_eq!(theirs.list(fixture.prefix()).await.unwrap(), []);
}
