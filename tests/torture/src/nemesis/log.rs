//! Where the nemesis records its faults.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use support::proxy::{Mode, Proxy};
use tokio::time::sleep;

use super::fault::Fault;
use crate::history::{EventKind, Recorder, Scope};

/// The nemesis' part of the history.
#[derive(Debug)]
pub struct FaultLog(pub Recorder);

impl FaultLog {
    /// Records that a fault begins, and returns its number.
    pub(super) fn begin(&self, fault: Fault, scope: Scope) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.0.record(EventKind::FaultStarted { fault: number, name: fault.to_string(), scope });
        number
    }

    /// Records that the fault of this number is over.
    pub(super) fn end(&self, fault: u64) {
        self.0.record(EventKind::FaultEnded { fault });
    }

    /// Records a fault that has no length.
    pub(super) fn mark(&self, fault: Fault, scope: Scope) {
        self.end(self.begin(fault, scope));
    }

    /// A fault of the network: puts proxies into their modes, for a time.
    pub(super) async fn degrade(&self, fault: Fault, scope: Scope, length: Duration, proxies: Vec<(&Proxy, Mode)>) {
        let number = self.begin(fault, scope);
        proxies.iter().for_each(|(proxy, mode)| proxy.set(*mode));
        sleep(length).await;
        proxies.iter().for_each(|(proxy, _)| proxy.set(Mode::Pass));
        self.end(number);
    }
}
