//! Whatever keys and values are under the prefix, and whatever an answer counts: read, and never a panic.

use super::inspect::{self, Queues};
use super::lease;
use super::names::{self, QueueRange};
use super::queue::{self, Ahead, QueueKey};
use crate::contract::{Entry, Scope};
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::mode::Mode;
use proptest::prelude::*;
use std::time::Duration;

/// A key near the lock `a`, or any.
fn any_key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "(ns)?/?a{0,2}/?(b/)?(s|p[0-9]-)?[0-9a-f]{0,3}-?[0-9]{0,2}".prop_map(String::into_bytes),
        1 => any::<Vec<u8>>(),
    ]
}

fn any_queue_key() -> impl Strategy<Value = QueueKey> {
    let value = prop_oneof![Just(Vec::new()), Just(br#"{"v":1,"name":"us"}"#.to_vec()), any::<Vec<u8>>(),];
    let number = || prop_oneof![4 => -2..20_i64, 1 => any::<i64>()];
    (any_key(), value, number(), number(), number()).prop_map(|(key, value, created, modified, lease)| QueueKey {
        key,
        value,
        created,
        modified,
        lease,
    })
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![Just(Scope::Key(Key::new("a").unwrap())), "[a/\u{10ffff}]{0,3}".prop_map(Scope::Prefix),]
}

fn any_mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Exclusive), Just(Mode::Shared), (1..4_u32).prop_map(Mode::Permits)]
}

proptest! {
    #[test]
    fn any_answer_is_read(
        (revision, succeeded) in (any::<i64>(), any::<bool>()),
        ranges in prop::collection::vec((prop::collection::vec(any_queue_key(), 0..5), any::<bool>()), 0..4),
        (own, mode) in (-1..20_i64, any_mode()),
    ) {
        let range = QueueRange::new("", &Key::new("a").unwrap());
        let view = queue::view_of(revision, succeeded, ranges.clone());
        prop_assert_eq!(view.own.is_some(), succeeded || ranges.first().is_some_and(|(own, _)| !own.is_empty()));
        if let Some(ahead) = view.ahead(&range, mode, own) {
            // If it says that no entry is in the way, that is right as far as the answer goes.
            let older = view.page.iter().filter(|key| key.created < own && range.contains(&key.key));
            let holds = mode.holds_behind(older.map(|key| names::mode_of(&key.key)));
            prop_assert_eq!(ahead.lets_hold(), ahead.complete && holds);
        }
        if let Some(holder) = view.first_other(&range, Some(own)) {
            let _ = holder.holder().to_string();
        }
    }

    #[test]
    fn any_keys_make_queues_and_can_all_be_removed(
        scope in scope(),
        namespace in "(ns)?",
        keys in prop::collection::vec(any_queue_key(), 0..20),
    ) {
        let (mut queues, mut locks) = (Queues::default(), 0);
        for key in &keys {
            locks += usize::from(queues.insert(&namespace, &scope, key.clone()).is_some());
            let _ = names::entry_number(&key.key, key.lease);
        }
        for lock in queues.locks() {
            prop_assert!(scope.contains(lock.as_str()));
            let seen = queues.seen(&scope, lock);
            let mut shown = seen.holds.iter().map(|(_, holder)| holder).chain(&seen.waiters);
            prop_assert!(shown.all(|holder| !holder.to_string().is_empty()));
        }
        prop_assert!(queues.locks().count() <= locks);
        for key in &keys {
            queues.remove(&namespace, &key.key);
        }
        prop_assert_eq!(queues.locks().count(), 0);
    }

    /// Every key of a scope is in the range that is asked for.
    #[test]
    fn a_scope_is_the_range_of_all_its_keys(namespace in "\\PC{0,3}", prefix in "\\PC{0,3}", rest in "\\PC{1,4}", suffix in "[0-9a-f-]{1,5}") {
        let key = Key::new(format!("{prefix}{rest}")).unwrap();
        let stored = format!("{namespace}{key}/{suffix}").into_bytes();
        for scope in [Scope::Prefix(prefix), Scope::Key(key)] {
            let (start, end) = inspect::range(&namespace, &scope);
            prop_assert!(start <= stored && (end == [0] || stored < end), "{scope:?}");
        }
    }

    /// The entry becomes a holder exactly when the last entry is gone that was in its way, in whatever portions and order
    /// that is reported.
    #[test]
    fn the_last_deletion_makes_the_entry_a_holder(
        mode in any_mode(),
        ahead in prop::collection::vec(any_mode(), 1..6_usize),
        portions in prop::collection::vec(prop::collection::vec((0..8_usize, 0..30_i64), 0..4), 0..12),
    ) {
        let key = |number: usize| {
            let mode = ahead.get(number).copied().unwrap_or_default();
            let entry = Entry { mode, ..Entry::new(Key::new("a").unwrap(), number as u64, Holder::unknown().into()) };
            QueueRange::new("", &entry.key).entry(1, &entry).into_bytes()
        };
        let mut left: Vec<usize> = (0..ahead.len()).collect();
        let holds = |left: &[usize]| mode.holds_behind(left.iter().map(|number| ahead[*number]));
        let mut known = Ahead { mode, revision: 9, keys: left.iter().map(|number| key(*number)).collect(), complete: true };
        for portion in portions {
            let deleted: Vec<_> = portion.iter().map(|(number, at)| (key(*number), *at)).collect();
            let held_since = known.remove(&deleted);
            let mut expected = None;
            for (number, at) in portion.into_iter().filter(|(_, at)| *at > 9) {
                let waited = !holds(&left);
                left.retain(|other| *other != number);
                if waited && holds(&left) {
                    expected = Some(at);
                }
            }
            prop_assert_eq!(held_since, expected);
            prop_assert_eq!(known.lets_hold(), holds(&left));
        }
    }

    #[test]
    fn a_lease_is_never_shorter_than_asked(nanos: u64) {
        let ttl = Duration::from_nanos(nanos);
        prop_assert!(Duration::from_secs(lease::seconds(ttl).cast_unsigned()) >= ttl);
        prop_assert!(lease::seconds(Duration::MAX) > 0);
    }
}
