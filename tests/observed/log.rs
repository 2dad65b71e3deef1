//! What is logged, as text.

use distributed_locks::Locks;
use distributed_locks::testing::TestStore;
use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// Everything that is logged on this thread, as text.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Logs what this thread does, until the guard is dropped.
pub(crate) fn logging() -> (Log, tracing::subscriber::DefaultGuard) {
    let log = Log::default();
    let subscriber =
        tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).with_max_level(tracing::Level::DEBUG);
    (log, tracing::subscriber::set_default(subscriber.finish()))
}

/// What background threads log, and every other thread on which no test logs. Every test makes it first: where a thread without
/// any subscriber is the first to reach an event, `tracing` may remember that nobody wants it.
pub(crate) static BACKGROUND: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false);
    tracing::subscriber::set_global_default(subscriber.with_max_level(tracing::Level::TRACE).finish()).unwrap();
    log
});

/// Every line that is a warning or an error.
pub(crate) fn alarms(log: &Log) -> Vec<String> {
    log.text().lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).map(str::to_owned).collect()
}

/// A client of a store that refuses it.
pub(crate) fn refusing() -> Locks {
    let store = TestStore::new();
    store.faults().set_refusing(true);
    store.client()
}

/// Why, in all its causes.
pub(crate) const CAUSE: &str = "db error: the user was removed";
