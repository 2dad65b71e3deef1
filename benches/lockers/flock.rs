//! The fewest system calls of a lock on a file.

use super::{Locker, Micros, body};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone)]
pub(crate) struct Flock {
    directory: PathBuf,
}

impl Flock {
    pub(crate) fn at(directory: &str) -> Self {
        Self { directory: directory.into() }
    }
}

impl Locker for Flock {
    async fn hold(&self, key: &str, length: Duration) -> (Micros, Micros) {
        let file = File::create(self.directory.join(key.replace('/', "%"))).unwrap();
        let mut file = Some(file);
        if flock(file.as_ref().unwrap(), FlockOperation::NonBlockingLockExclusive).is_err() {
            let busy = file.take().unwrap();
            file = tokio::task::spawn_blocking(|| {
                flock(&busy, FlockOperation::LockExclusive).unwrap();
                Some(busy)
            })
            .await
            .unwrap();
        }
        let moments = body(length).await;
        flock(file.as_ref().unwrap(), FlockOperation::Unlock).unwrap();
        moments
    }
}
