//! tokio-cron-scheduler: a job is a closure that calls the locked function.

use crate::{is_locked, store};
use distributed_locks::{Error, distributed_lock};
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
