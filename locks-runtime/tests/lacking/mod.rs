//! A store of another crate that lacks something.

use locks_runtime::Key;
use locks_runtime::store::{Capabilities, Change, Line, Native, Pending, Scope, Session, Store};
use locks_runtime::stores::memory::Memory;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// As the store in memory, but that it does not claim all of it.
#[derive(Debug)]
pub(crate) struct Lacking(pub(crate) Memory, pub(crate) fn(&mut Capabilities));

impl Store for Lacking {
    fn capabilities(&self) -> Capabilities {
        let mut claimed = self.0.capabilities();
        (self.1)(&mut claimed);
        claimed
    }

    fn open(&self, ttl: Duration) -> Pending<Arc<dyn Session>> {
        self.0.open(ttl)
    }

    fn inspect(&self, scope: Scope) -> Pending<Vec<Line>> {
        self.0.inspect(scope)
    }

    fn watch(&self, scope: Scope) -> Pending<mpsc::Receiver<Change>> {
        self.0.watch(scope)
    }

    fn force_release(&self, key: Key) -> Pending<usize> {
        self.0.force_release(key)
    }

    fn native(&self) -> Native {
        Native::none()
    }
}
