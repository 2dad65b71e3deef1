//! What must hold for any answer of etcd: see `crate::fuzz`.

use super::error::{AttemptError, Failure, Verdict};
use super::inspect::Queues;
use super::names::{self, QueueRange};
use super::queue::{self, QueueKey};
use crate::contract::Scope;
use crate::values::error::Error;
use crate::values::fuzz::{Input, assert_line};
use crate::values::key::Key;
use crate::values::mode::Mode;
use etcd_client::Error as ClientError;

/// An answer of a transaction never makes a hold of an entry that is not the first, and every key in it can be removed.
pub(crate) fn etcd_answer(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (revision, succeeded, own) = (input.number(), input.byte() % 2 == 1, input.number());
    let (more, first_range) = (input.byte() % 2 == 1, input.byte() % 3);
    let mut keys = Vec::new();
    while !input.0.is_empty() && keys.len() < 64 {
        keys.push(next_key(&mut input));
    }
    let Ok(lock) = Key::new("a") else { return };
    let range = QueueRange::new("", &lock);
    let own_key = keys.get(..usize::from(first_range)).unwrap_or_default().to_vec();
    let view = queue::view_of(revision, succeeded, vec![(own_key, false), (keys.clone(), more)]);
    for mode in [Mode::Exclusive, Mode::Shared, Mode::Permits(2)] {
        let Some(mut ahead) = view.ahead(&range, mode, own) else { continue };
        // Whoever is not known to may be in the way.
        let older = view.page.iter().filter(|key| key.created < own && range.contains(&key.key));
        let modes: Vec<Mode> = older.map(|key| names::mode_of(&key.key)).collect();
        assert_eq!(ahead.lets_hold(), ahead.complete && mode.holds_behind(modes));
        // Whatever is deleted: it holds only if those that are left let it.
        let deleted: Vec<_> = keys.iter().rev().map(|key| (key.key.clone(), key.modified)).collect();
        assert!(ahead.remove(&deleted).is_none() || ahead.lets_hold());
    }
    view.first_other(&range, Some(own)).into_iter().for_each(|other| assert_line(&other.holder().to_string()));
    queues(&keys);
}

fn next_key(input: &mut Input<'_>) -> QueueKey {
    // Most of them near the lock.
    let prefix: &[u8] = if input.byte().is_multiple_of(4) { b"" } else { b"a/" };
    let (key, value) = ([prefix, input.counted()].concat(), input.counted().to_vec());
    QueueKey { key, value, created: input.number(), modified: input.number(), lease: input.number() }
}

fn queues(keys: &[QueueKey]) {
    let (all, mut queues) = (Scope::Prefix(String::new()), Queues::default());
    for key in keys {
        let lock = queues.insert("", &all, key.clone());
        assert_eq!(lock, names::lock_of(&key.key, ""));
        let _ = names::entry_number(&key.key, key.lease);
    }
    for lock in queues.locks() {
        let seen = queues.seen(&all, lock);
        let shown = seen.holds.iter().map(|(_, holder)| holder).chain(&seen.waiters);
        shown.for_each(|holder| assert_line(&holder.to_string()));
    }
    for key in keys {
        queues.remove("", &key.key);
    }
    assert_eq!(queues.locks().count(), 0);
}

/// Whatever etcd says of a lease, it is understood; and what a person reads of it is a line.
pub(crate) fn etcd_error(bytes: &[u8]) {
    let (can_log_in, text) = (bytes.first().is_some_and(|byte| byte % 2 == 1), String::from_utf8_lossy(bytes));
    let cause = AttemptError::Client(ClientError::LeaseKeepAliveError(text.clone().into_owned()));
    let verdict = cause.verdict(can_log_in);
    assert_eq!(verdict == Verdict::LeaseGone, text == "lease not found");
    let error = Error::from(Failure::definite(verdict, "host:2379", cause).about("a/1-7"));
    assert_line(&error.to_string());
    assert_line(&error.chain().to_string());
}
