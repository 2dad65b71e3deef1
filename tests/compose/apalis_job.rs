//! apalis: a worker calls the locked function for each task.

use crate::{is_locked, store};
use apalis::prelude::*;
use distributed_locks::distributed_lock;

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
    let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
    let worker = WorkerBuilder::new("compose").backend(storage).on_event(move |_, event| {
        if matches!(event, Event::Success(_)) {
            let _ = sender.send(());
        }
    });
    worker.build(send).run().await.unwrap();
    assert!(events.try_recv().is_ok(), "the job did not succeed");
}
