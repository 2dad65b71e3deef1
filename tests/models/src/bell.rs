//! A number that changes, and who waits for that.

use std::sync::{Arc, Mutex, Weak};
use tokio::sync::Notify;

/// A number that grows, and who waits for that. (tokio's `watch` wakes its receivers in a random order, and a seed would not repeat itself.)
#[derive(Debug, Default)]
pub struct Bell(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    number: i64,
    listeners: Vec<Weak<Notify>>,
}

/// Who has heard of a bell's number up to some point.
#[derive(Debug)]
pub struct Listener {
    known: i64,
    rung: Arc<Notify>,
}

impl Bell {
    /// One that begins with this number.
    #[must_use]
    pub fn new(number: i64) -> Self {
        Self(Mutex::new(Inner { number, listeners: Vec::new() }))
    }

    /// The number now.
    #[must_use]
    pub fn number(&self) -> i64 {
        self.0.lock().unwrap().number
    }

    /// Raises the number to `number`, if that is more.
    pub fn raise(&self, number: i64) {
        if number > self.number() {
            self.set(number);
        }
    }

    /// Changes the number to any other: what it counts has gone back.
    pub fn set(&self, number: i64) {
        let mut inner = self.0.lock().unwrap();
        inner.number = number;
        inner.listeners.retain(|listener| listener.upgrade().map(|listener| listener.notify_one()).is_some());
    }

    /// Raises the number by one.
    pub fn ring(&self) {
        self.raise(self.number() + 1);
    }

    /// Somebody who knows the number as it is now.
    #[must_use]
    pub fn listen(&self) -> Listener {
        let mut inner = self.0.lock().unwrap();
        let rung = Arc::new(Notify::new());
        inner.listeners.retain(|listener| listener.strong_count() > 0);
        inner.listeners.push(Arc::downgrade(&rung));
        Listener { known: inner.number, rung }
    }

    /// Returns when the number is another than the listener knows.
    pub async fn changed(&self, listener: &mut Listener) {
        loop {
            let now = self.number();
            if std::mem::replace(&mut listener.known, now) != now {
                return;
            }
            listener.rung.notified().await;
        }
    }
}
