//! tokio-cron-scheduler: a job is a closure that calls the locked function.

use crate::recipes::cron_scheduler;
use crate::{is_locked, store};
use distributed_locks::{Error, Locks, distributed_lock};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_cron_scheduler::{Job, JobScheduler};

#[distributed_lock(key = "/cron/{job}", wait = 0, client = &store())]
async fn run(job: &str) -> Result<bool, Error> {
    Ok(is_locked(&format!("/cron/{job}")).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduled_job_is_locked() {
    let (sender, mut results) = mpsc::unbounded_channel();
    let scheduler = JobScheduler::new().await.unwrap();
    let job = Job::new_one_shot_async(Duration::ZERO, move |_, _| {
        let sender = sender.clone();
        Box::pin(async move { sender.send(run("invoices").await).unwrap() })
    });
    scheduler.add(job.unwrap()).await.unwrap();
    scheduler.start().await.unwrap();
    let result = tokio::time::timeout(Duration::from_secs(60), results.recv()).await.unwrap().unwrap();
    assert!(result.unwrap());
}

/// Two machines in one process: two schedulers, each with a client of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_schedulers_one_runs_the_job_of_each_tick() {
    const PERIOD: Duration = Duration::from_secs(2);
    const TICKS: usize = 4;
    let (sender, mut sent) = mpsc::unbounded_channel();
    // How often each tick was tried: a job makes its work, and runs it only under the lock.
    let tried = Arc::new(Mutex::new(BTreeMap::<u64, u32>::new()));
    let mut schedulers = Vec::new();
    for _ in 0..2 {
        let (sender, tried) = (sender.clone(), Arc::clone(&tried));
        let work = move |tick| {
            *tried.lock().unwrap().entry(tick).or_default() += 1;
            let sender = sender.clone();
            async move { sender.send(tick).unwrap() }
        };
        let locks = Locks::connect("memory:two-schedulers").unwrap();
        let scheduler = JobScheduler::new().await.unwrap();
        scheduler.add(cron_scheduler::job("*/2 * * * * *", PERIOD, locks, work).unwrap()).await.unwrap();
        scheduler.start().await.unwrap();
        schedulers.push(scheduler);
    }
    let mut ran = BTreeMap::<u64, u32>::new();
    // Until so many ticks were come to by both.
    while tried.lock().unwrap().values().filter(|tries| **tries == 2).count() < TICKS {
        let tick = tokio::time::timeout(Duration::from_secs(60), sent.recv()).await.unwrap().unwrap();
        *ran.entry(tick).or_default() += 1;
    }
    for mut scheduler in schedulers {
        scheduler.shutdown().await.unwrap();
    }
    while let Ok(tick) = sent.try_recv() {
        *ran.entry(tick).or_default() += 1;
    }
    assert!(ran.len() >= TICKS && ran.values().all(|runs| *runs == 1), "{ran:?}, {tried:?}");
}
