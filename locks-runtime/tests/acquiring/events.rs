//! The events that a program's own logs would have.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, Once};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Collects warnings, and what is worse, until it is dropped.
pub(crate) struct Warnings {
    texts: Arc<Mutex<Vec<String>>>,
    _guard: tracing::subscriber::DefaultGuard,
}

impl Warnings {
    pub(crate) fn collect() -> Self {
        hear_every_thread();
        let texts = Arc::new(Mutex::new(Vec::new()));
        let guard = tracing::subscriber::set_default(Collector(Arc::clone(&texts)));
        Self { texts, _guard: guard }
    }

    /// Forgets those of before.
    pub(crate) fn clear(&self) {
        self.texts.lock().unwrap().clear();
    }

    /// Those that contain `text`.
    pub(crate) fn with(&self, text: &str) -> Vec<String> {
        self.texts.lock().unwrap().iter().filter(|found| found.contains(text)).cloned().collect()
    }
}

/// Where a thread without any subscriber is the first to reach an event, `tracing` may remember that nobody wants it: here
/// are threads of other tests.
fn hear_every_thread() {
    static HEARD: Once = Once::new();
    HEARD.call_once(|| {
        tracing::subscriber::set_global_default(Collector(Arc::default())).unwrap();
        tracing::callsite::rebuild_interest_cache();
    });
}

struct Collector(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() || *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
