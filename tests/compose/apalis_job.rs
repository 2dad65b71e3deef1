//! apalis: a worker calls the locked function for each task.

use crate::recipes::apalis_cron::{Report, serve};
use crate::recipes::apalis_job::export;
use crate::{is_locked, store};
use apalis::prelude::*;
use cron::Schedule;
use distributed_locks::{Locks, distributed_lock};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;

#[distributed_lock(key = "/apalis/{id}", client = &store())]
async fn send(id: u32, worker: WorkerContext) -> Result<(), BoxDynError> {
    assert!(is_locked(&format!("/apalis/{id}")).await);
    worker.stop()?;
    Ok(())
}

#[tokio::test]
async fn a_job_is_locked() {
    let mut storage = MemoryStorage::new();
    storage.push(7_u32).await.unwrap();
    let (sender, mut events) = mpsc::unbounded_channel();
    let worker = WorkerBuilder::new("compose").backend(storage).on_event(move |_, event| {
        if matches!(event, Event::Success(_)) {
            let _ = sender.send(());
        }
    });
    worker.build(send).run().await.unwrap();
    assert!(events.try_recv().is_ok(), "the job did not succeed");
}

#[tokio::test]
async fn of_two_jobs_about_one_thing_one_is_refused_for_now() {
    let locks = store();
    let held = locks.lock("/export/7").acquire().await.unwrap();
    let mut storage = MemoryStorage::new();
    storage.push(7_u32).await.unwrap();
    let (sender, mut ended) = mpsc::unbounded_channel();
    let worker = WorkerBuilder::new("exports").backend(storage).data(store()).on_event(move |context, event| {
        let failed = match event {
            Event::Error(error) => Some(error.to_string()),
            Event::Success(_) => None,
            _ => return,
        };
        let _ = sender.send(failed);
        let _ = context.stop();
    });
    let run = worker.build(export).run();
    tokio::time::timeout(Duration::from_secs(60), run).await.unwrap().unwrap();
    let failed = ended.recv().await.unwrap().expect("it ran beside the other");
    assert!(failed.contains("busy"), "{failed}");
    held.release().await.unwrap();
    assert!(export(7, Data::new(locks)).await.is_ok());
}

/// Two machines in one process: two workers, each with the schedule and with a client of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_workers_one_runs_the_job_of_each_tick() {
    const TICKS: usize = 4;
    let schedule: Schedule = "* * * * * *".parse().unwrap();
    let (sent, mut reports) = mpsc::unbounded_channel();
    let mut workers = Vec::new();
    for name in ["one", "other"] {
        let locks = Locks::connect("memory:two-workers").unwrap();
        let report = Report { sent: sent.clone() };
        workers.push(tokio::spawn(serve(name, schedule.clone(), locks, report)));
    }
    let mut ran = BTreeMap::<u64, u32>::new();
    while ran.len() <= TICKS {
        let tick = tokio::time::timeout(Duration::from_secs(60), reports.recv()).await.unwrap().unwrap();
        *ran.entry(tick).or_default() += 1;
    }
    let last = *ran.last_key_value().unwrap().0;
    assert!(workers.iter().all(|worker| !worker.is_finished()), "both have come to the ticks");
    // The other one may still come to the last.
    assert!(ran.range(..last).all(|(_, runs)| *runs == 1), "{ran:?}");
    workers.iter().for_each(tokio::task::JoinHandle::abort);
}
