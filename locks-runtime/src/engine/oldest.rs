//! How long the oldest hold and the oldest wait have lasted, measured while they last: a lock that is stuck shows while it is stuck.
//!
//! A count says nothing about one hold among many, and a histogram only hears of what has ended. So whoever begins to hold or to
//! wait begins a task, if there is none, that looks every few seconds until nobody does either.

use super::core::Engine;
use super::observe::{self, Labels};
use super::queue::{Member, Stage};
use crate::values::mutex::Mutex;
use crate::world::clock::Moment;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long between two looks: less than between two scrapes.
const STEP: Duration = Duration::from_secs(5);

/// What is measured has these labels: template and name.
type Name = (&'static str, Cow<'static, str>);

/// By the number of their task: several clients of a process may have locks of one name.
static MEASURED: Mutex<BTreeMap<u64, BTreeMap<Name, Ages>>> = Mutex::new(BTreeMap::new());

static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// How long the oldest hold and the oldest wait have lasted.
#[derive(Clone, Copy, Debug, Default)]
struct Ages {
    hold: Duration,
    wait: Duration,
}

impl Engine {
    /// Somebody holds a lock, or waits for one: that is measured until nobody does.
    pub(crate) fn measure_oldest(self: &Arc<Self>) {
        let is_measured = &self.is_oldest_measured;
        if !is_measured.load(Ordering::SeqCst) && !is_measured.swap(true, Ordering::SeqCst) {
            let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
            self.world.spawn(measure(Arc::downgrade(self), Task(number)));
        }
    }

    /// The oldest of each name.
    fn ages(&self) -> BTreeMap<Name, Ages> {
        let now = self.world.now();
        let mut ages = BTreeMap::<Name, Ages>::new();
        // Not as a list: there may be a hundred thousand.
        self.queues.for_each_member(|member| {
            let Some(age) = age(member, now) else { return };
            let Labels { name, template } = member.request.labels();
            let oldest = ages.entry((template, name.clone())).or_default();
            (oldest.hold, oldest.wait) = (oldest.hold.max(age.hold), oldest.wait.max(age.wait));
        });
        ages
    }
}

/// `None` for what is on its way out: that is neither a hold nor a wait.
fn age(member: &Member, now: Moment) -> Option<Ages> {
    match member.progress().stage {
        Stage::Held(since) if member.has_begun() => Some(Ages { hold: now.since(since), wait: Duration::ZERO }),
        Stage::Lapsing { .. } | Stage::Leaving => None,
        _ => Some(Ages { hold: Duration::ZERO, wait: now.since(member.request.begun) }),
    }
}

async fn measure(engine: Weak<Engine>, task: Task) {
    loop {
        tokio::time::sleep(STEP).await;
        let Some(engine) = engine.upgrade() else { return };
        let ages = engine.ages();
        let is_over = ages.is_empty();
        task.report(ages);
        if is_over {
            engine.is_oldest_measured.store(false, Ordering::SeqCst);
            // Whoever has begun since the look has seen that there was a task.
            if engine.ages().is_empty() || engine.is_oldest_measured.swap(true, Ordering::SeqCst) {
                return;
            }
        }
    }
}

/// The task of one client, by its number. What it has measured is removed with it.
#[derive(Debug)]
struct Task(u64);

impl Task {
    /// Reports the ages of this client, and that there are none any more of what is over.
    fn report(&self, ages: BTreeMap<Name, Ages>) {
        let oldest: Vec<(Name, Ages)> = {
            let mut measured = MEASURED.lock();
            let names: BTreeSet<Name> = ages.keys().cloned().collect();
            let before = measured.insert(self.0, ages).unwrap_or_default();
            let changed = names.into_iter().chain(before.into_keys()).collect::<BTreeSet<Name>>();
            changed.into_iter().map(|name| (name.clone(), of_all(&measured, &name))).collect()
        };
        for ((template, name), ages) in oldest {
            observe::oldest(Labels { name: &name, template }, ages.hold, ages.wait);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.report(BTreeMap::new());
        MEASURED.lock().remove(&self.0);
    }
}

/// The oldest of this name, of all clients.
fn of_all(measured: &BTreeMap<u64, BTreeMap<Name, Ages>>, name: &Name) -> Ages {
    let ages = measured.values().filter_map(|of_client| of_client.get(name));
    ages.fold(Ages::default(), |oldest, ages| Ages {
        hold: oldest.hold.max(ages.hold),
        wait: oldest.wait.max(ages.wait),
    })
}
