//! What is known of the Leases that are followed.

use super::lease::Lease;
use crate::values::error::{Error, ErrorKind};
use crate::values::mutex::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// What is known of a Lease.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// It was looked at.
    pub(super) is_known: bool,
    /// The Lease; `None` if it is not there.
    pub(super) lease: Option<Arc<Lease>>,
    /// As of which version.
    pub(super) version: u64,
    /// It cannot be looked at, and asking again is useless.
    pub(super) refused: Option<(ErrorKind, Arc<str>)>,
}

/// The Leases that are followed, by name.
#[derive(Debug, Default)]
pub(super) struct Followed(pub(super) Mutex<BTreeMap<String, Arc<watch::Sender<State>>>>);

impl State {
    pub(super) fn is(lease: Lease) -> Self {
        Self { is_known: true, version: lease.version, lease: Some(Arc::new(lease)), refused: None }
    }

    pub(super) fn nothing(version: u64) -> Self {
        Self { is_known: true, version, lease: None, refused: None }
    }

    /// Why it cannot be looked at, if so.
    pub(super) fn error(&self) -> Option<Error> {
        self.refused.as_ref().map(|(kind, text)| Error::new(*kind, text.to_string()))
    }
}

impl Followed {
    /// Notes a Lease that was read meanwhile.
    pub(super) fn note(&self, lease: &Lease) {
        if let Some(sender) = self.0.lock().get(&lease.name) {
            note(sender, lease);
        }
    }
}

/// Answers and events may overtake each other.
pub(super) fn note(sender: &watch::Sender<State>, lease: &Lease) {
    sender.send_if_modified(|state| {
        let is_new = state.is_known && state.version < lease.version;
        if is_new {
            *state = State::is(lease.clone());
        }
        is_new
    });
}

/// Notes what a look has found that was begun when the version `before` was known. It may be older than that: the store may have gone
/// back. But it is not to undo what was noted while it was under way: a lock that was acquired meanwhile would seem to be lost.
pub(super) fn looked(sender: &watch::Sender<State>, before: u64, found: State) {
    sender.send_if_modified(|state| {
        let is_overtaken = state.version != before && found.version < state.version;
        if !is_overtaken {
            *state = found;
        }
        !is_overtaken
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_answer_changes_nothing_not_even_after_a_deletion() {
        let lease = |version| Lease { name: "a".to_owned(), version, ..Lease::default() };
        let sender = watch::Sender::new(State::default());
        note(&sender, &lease(3));
        assert!(!sender.borrow().is_known, "whoever follows it looks first");
        sender.send_replace(State::is(lease(3)));
        for (version, known) in [(2, 3), (5, 5), (4, 5)] {
            note(&sender, &lease(version));
            assert_eq!(sender.borrow().lease.as_ref().map(|lease| lease.version), Some(known));
        }
        sender.send_replace(State::nothing(7));
        note(&sender, &lease(6));
        assert!(sender.borrow().lease.is_none());
        note(&sender, &lease(8));
        assert!(sender.borrow().lease.is_some());
    }

    #[test]
    fn a_look_may_go_back_but_not_behind_what_was_noted_meanwhile() {
        let lease = |version| Lease { name: "a".to_owned(), version, ..Lease::default() };
        let sender = watch::Sender::new(State::is(lease(5)));
        note(&sender, &lease(7));
        for (before, found, known) in [
            (5, State::is(lease(6)), Some(7)),
            (5, State::nothing(6), Some(7)),
            (5, State::is(lease(8)), Some(8)),
            (7, State::nothing(9), None),
            (9, State::is(lease(3)), Some(3)),
        ] {
            looked(&sender, before, found);
            assert_eq!(sender.borrow().lease.as_ref().map(|lease| lease.version), known);
        }
    }
}
