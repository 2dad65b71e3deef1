//! Where the nemesis records its faults.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use support::proxy::{Mode, Proxy};
use tokio::time::sleep;

use super::fault::Fault;
use crate::history::{EventKind, Recorder, Scope};

/// The nemesis' part of the history.
#[derive(Debug)]
pub struct FaultLog(pub Recorder, Mutex<BTreeSet<u64>>);

impl FaultLog {
    /// Which is recorded there.
    #[must_use]
    pub fn of(recorder: Recorder) -> Self {
        Self(recorder, Mutex::default())
    }

    /// Whether the store is left alone at this time.
    #[must_use]
    pub fn is_store_calm(&self) -> bool {
        self.of_store().is_empty()
    }

    /// The faults of the store that are in effect.
    fn of_store(&self) -> std::sync::MutexGuard<'_, BTreeSet<u64>> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that a fault begins, and returns its number.
    pub(super) fn begin(&self, fault: Fault, scope: Scope) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        if !matches!(scope, Scope::Worker(_) | Scope::Revocation(_)) {
            self.of_store().insert(number);
        }
        self.0.record(EventKind::FaultStarted { fault: number, name: fault.to_string(), scope });
        number
    }

    /// Records that the fault of this number is over.
    pub(super) fn end(&self, fault: u64) {
        self.of_store().remove(&fault);
        self.0.record(EventKind::FaultEnded { fault });
    }

    /// Records that the fault of this number has an effect once more.
    pub(super) fn again(&self, number: u64, fault: Fault, scope: Scope) {
        self.0.record(EventKind::FaultStarted { fault: number, name: fault.to_string(), scope });
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
