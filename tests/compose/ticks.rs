//! Once per tick, on machines whose clocks differ by up to five seconds from the right time, each way, and are changed meanwhile. A
//! clock is a label: an offset that is added when its machine looks at the time.

use crate::recipes::once_per_tick::once_per_tick;
use distributed_locks::testing::TestStore;
use distributed_locks::{Error, ErrorKind, Locks, distributed_lock};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How far a clock may be off, in milliseconds.
const OFF: i64 = 5_000;
/// When the first machine begins, by the right time, in milliseconds since 1970: between two ticks.
const START: i64 = 1_700_000_004_000;
/// How often a machine looks at its clock.
const LOOK: Duration = Duration::from_millis(250);

/// The clock of one machine.
#[derive(Clone)]
struct Clock {
    begun: Instant,
    offset: Arc<AtomicI64>,
}

impl Clock {
    fn new(begun: Instant, offset: i64) -> Self {
        Self { begun, offset: Arc::new(AtomicI64::new(offset)) }
    }

    fn now(&self) -> i64 {
        START + i64::try_from(self.begun.elapsed().as_millis()).unwrap() + self.offset.load(Ordering::Relaxed)
    }

    fn set(&self, offset: i64) {
        assert!((-OFF..=OFF).contains(&offset));
        self.offset.store(offset, Ordering::Relaxed);
    }
}

/// What happened to one tick.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    tries: u32,
    runs: u32,
}

type Log = Arc<Mutex<BTreeMap<u64, Seen>>>;

/// How a machine runs a tick.
#[derive(Clone, Copy)]
enum How {
    Recipe,
    /// With a `hold_at_least` that is shorter than clocks differ.
    TooShort,
}

#[distributed_lock(key = "/cron/report/{tick}", client = locks, wait = 0, hold_at_least = "2s")]
async fn too_short(locks: &Locks, tick: u64, work: impl Future<Output = ()>) -> Result<(), Error> {
    work.await;
    Ok(())
}

/// A machine with the schedule: it comes to every tick that its clock passes, again if it was set back.
async fn machine(locks: Locks, clock: Clock, period: i64, how: How, lasts: Duration, log: Log) {
    let mut before = clock.now();
    while clock.begun.elapsed() < lasts {
        sleep(LOOK).await;
        let now = clock.now();
        for tick in (before / period + 1..=now / period).map(|number| u64::try_from(number * period / 1000).unwrap()) {
            log.lock().unwrap().entry(tick).or_default().tries += 1;
            let work = async {
                log.lock().unwrap().entry(tick).or_default().runs += 1;
                sleep(Duration::from_millis(300)).await;
            };
            match how {
                How::Recipe => drop(once_per_tick(&locks, "report", tick, work).await.unwrap()),
                How::TooShort => {
                    let ran = too_short(&locks, tick, work).await;
                    assert!(ran.as_ref().map_or_else(|error| error.kind() == ErrorKind::Busy, |()| true), "{ran:?}");
                }
            }
        }
        before = now;
    }
}

/// The ticks that every machine has come to, whatever its clock showed.
fn ticks(period: i64, lasts: Duration) -> Vec<u64> {
    let first = (START + OFF) / period + 1;
    let last = (START + i64::try_from(lasts.as_millis()).unwrap() - OFF - 1_000) / period;
    (first..=last).map(|number| u64::try_from(number * period / 1000).unwrap()).collect()
}

/// Runs three machines in simulated time. Every twenty seconds the clock of each is changed, by chance.
async fn simulated(seed: u64, period: i64, how: How) -> (Vec<u64>, Log) {
    const MACHINES: usize = 3;
    const LASTS: Duration = Duration::from_secs(600);
    let (store, log, begun) = (TestStore::new(), Log::default(), Instant::now());
    let mut bits = seed;
    let mut offset = move || {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // The ends more often than by chance.
        i64::try_from((bits >> 33) % 15_001).unwrap().saturating_sub(7_500).clamp(-OFF, OFF)
    };
    let clocks: Vec<Clock> = (0..MACHINES).map(|_| Clock::new(begun, offset())).collect();
    let machines: Vec<_> = clocks
        .iter()
        .map(|clock| tokio::spawn(machine(store.client(), clock.clone(), period, how, LASTS, Arc::clone(&log))))
        .collect();
    while begun.elapsed() < LASTS {
        sleep(Duration::from_millis(20_130)).await;
        clocks.iter().for_each(|clock| clock.set(offset()));
    }
    for machine in machines {
        machine.await.unwrap();
    }
    (ticks(period, LASTS), log)
}

/// Also where the period is shorter than clocks differ, so that a tick of one machine comes after the next one of another.
#[tokio::test(start_paused = true)]
async fn each_tick_runs_once_whatever_the_clocks_show() {
    let mut again = 0;
    for seed in 0..20 {
        for period in [60_000, 5_000] {
            let (ticks, log) = simulated(seed, period, How::Recipe).await;
            let log = log.lock().unwrap();
            assert!(ticks.len() >= 9, "{ticks:?}");
            for tick in ticks {
                let seen = &log[&tick];
                assert!(seen.runs == 1 && seen.tries >= 3, "seed {seed}, tick {tick} of {period} ms: {seen:?}");
                again += seen.tries - 3;
            }
        }
    }
    assert!(again > 100, "clocks were set back {again} times over a tick");
}

/// It is the `hold_at_least` that does it.
#[tokio::test(start_paused = true)]
async fn held_for_less_than_clocks_differ_ticks_run_twice() {
    let (ticks, log) = simulated(1, 60_000, How::TooShort).await;
    let log = log.lock().unwrap();
    let doubled = ticks.iter().filter(|tick| log[tick].runs > 1).count();
    assert!(doubled > 0, "{log:?}");
}

/// The machine's own time, in which leases and locks live, is the real one here.
#[tokio::test]
async fn on_files_each_tick_runs_once_whatever_the_clocks_show() {
    const PERIOD: i64 = 5_000;
    const LASTS: Duration = Duration::from_millis(17_500);
    let directory = tempfile::tempdir().unwrap();
    let url = format!("file://{}", directory.path().join("locks").display());
    let (log, begun) = (Log::default(), Instant::now());
    let clocks: Vec<Clock> = [OFF, 0, -OFF].into_iter().map(|offset| Clock::new(begun, offset)).collect();
    let machines: Vec<_> = clocks
        .iter()
        .map(|clock| {
            let locks = Locks::connect(&url).unwrap();
            tokio::spawn(machine(locks, clock.clone(), PERIOD, How::Recipe, LASTS, Arc::clone(&log)))
        })
        .collect();
    // The fastest becomes the slowest, and comes to its ticks again.
    sleep(Duration::from_secs(7)).await;
    clocks[0].set(-OFF);
    for machine in machines {
        machine.await.unwrap();
    }
    let (ticks, log) = (ticks(PERIOD, LASTS), log.lock().unwrap());
    assert!(ticks.len() >= 2, "{ticks:?}");
    for tick in &ticks {
        assert_eq!(log[tick].runs, 1, "tick {tick}: {log:?}");
    }
    assert!(ticks.iter().any(|tick| log[tick].tries > 3), "no clock was set back over a tick: {log:?}");
}
