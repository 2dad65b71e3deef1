//! What must hold for any answer of an API server: see `crate::fuzz`.

use super::lease::{Lease, Object};
use super::line;
use super::names;
use super::stream::{self, Event};
use super::take;
use crate::values::fuzz::assert_line;
use std::time::Duration;

/// A Lease that others may have written.
pub(crate) fn kubernetes_lease(bytes: &[u8]) {
    let Some(lease) = serde_json::from_slice::<Object>(bytes).ok().and_then(Object::into_lease) else { return };
    holds(&lease);
}

/// A line of a watch.
pub(crate) fn kubernetes_event(bytes: &[u8]) {
    match stream::event(bytes) {
        Event::Is(lease) | Event::Was(lease) => holds(&lease),
        Event::Nothing | Event::End => {}
    }
}

fn holds(lease: &Lease) {
    assert_line(&lease.record().to_string());
    for waiting in &lease.line {
        assert_line(&waiting.holder().to_string());
    }
    if let Ok(text) = line::written(&lease.line) {
        assert_eq!(line::read(&text), lease.line);
        // Whatever it is, it can be left.
        assert!(take::pass_on(lease, 1).is_ok());
    }
    if let Some(key) = names::key_of(lease) {
        assert_eq!(names::lease(&key), lease.name);
    }
    let _ = (lease.times(), lease.is_over_at(Some(u64::MAX), Duration::MAX));
}
