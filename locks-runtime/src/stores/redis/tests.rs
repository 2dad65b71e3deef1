//! Whatever Redis replies, and whatever keys and messages of others there are: read, or refused, and never a panic.

use super::notification::{self, Notification};
use super::reply::{self, EntryReply};
use super::{connect, names};
use crate::contract::{Grant, Scope};
use crate::values::error::ErrorKind;
use crate::values::holder::Holder;
use crate::values::key::Key;
use proptest::prelude::*;
use redis::Value;
use std::time::Duration;

/// A word of the script's, or anything.
fn leaf() -> impl Strategy<Value = Value> {
    let words = vec![
        "held",
        "several",
        "queued",
        "busy",
        "gone",
        "1",
        "0",
        "-1",
        "18446744073709551615",
        "18446744073709551616",
        "",
    ];
    prop_oneof![
        4 => prop::sample::select(words).prop_map(|word| Value::BulkString(word.into())),
        2 => prop_oneof![Just(1), Just(0), Just(-1), Just(-2), Just(i64::MIN), Just(i64::MAX), any::<i64>()].prop_map(Value::Int),
        1 => any::<Vec<u8>>().prop_map(Value::BulkString),
        1 => any::<String>().prop_map(Value::SimpleString),
        1 => prop_oneof![
            Just(Value::Nil),
            Just(Value::Okay),
            any::<f64>().prop_map(Value::Double),
            any::<bool>().prop_map(Value::Boolean),
        ],
    ]
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 30, 6, |inner| {
        let some = prop::collection::vec(inner.clone(), 0..6);
        let pairs = prop::collection::vec((inner.clone(), inner), 0..3);
        prop_oneof![4 => some.clone().prop_map(Value::Array), 1 => some.prop_map(Value::Set), 1 => pairs.prop_map(Value::Map)]
    })
}

proptest! {
    #[test]
    fn any_reply_is_understood_or_refused_in_few_words(value in value()) {
        let refused = [reply::entry(&value).err(), reply::lock(&value).err(), reply::items(&value).err()];
        for error in refused.into_iter().flatten() {
            prop_assert_eq!(error.kind(), ErrorKind::Unsupported);
            prop_assert!(error.to_string().len() < 1000, "{error}");
        }
        if let Ok(EntryReply::Busy(found)) = reply::entry(&value) {
            let _ = found.holder("k").map(|holder| holder.to_string());
        }
    }

    /// Nothing but the script's own word with a fence is ever a hold.
    #[test]
    fn only_held_with_a_fence_is_a_hold(value in value()) {
        if let Ok(EntryReply::Held(grant)) = reply::entry(&value) {
            super::fuzz::assert_held(&value, grant);
        }
    }

    #[test]
    fn a_fence_of_any_size_is_read_back(fence: u64) {
        let held = Value::Array(vec![Value::BulkString(b"held".to_vec()), Value::BulkString(fence.to_string().into())]);
        prop_assert_eq!(reply::entry(&held).unwrap(), EntryReply::Held(Grant::new(fence)));
    }

    #[test]
    fn any_message_is_read_or_ignored(text: String, lines in prop::collection::vec("[+=^-]|[+=-]?\\PC{0,5}|[0-9]{1,21}", 0..6)) {
        let _ = (notification::changed_lock(text.as_bytes()), Notification::read(text.as_bytes()));
        let text = lines.join("\n");
        prop_assert!(notification::changed_lock(text.as_bytes()).is_none() || lines.len() >= 3);
        prop_assert!(Notification::read(text.as_bytes()).is_none() || lines.len() >= 3);
    }

    #[test]
    fn any_key_in_the_store_belongs_to_one_lock_or_to_none(
        namespace in "[a-z{}:]{0,4}",
        key in "\\PC{1,12}|\\{?[a-z{}]{1,5}\\}?:?(fence|holder|holders|queue|waiters)?",
        end in prop::sample::select(vec!["fence", "holder", "holders", "queue", "waiters"]),
    ) {
        let all = Scope::Prefix(String::new());
        let _ = names::key_of_related(&namespace, &all, &key);
        let key = Key::new(key).unwrap();
        if let Ok(name) = names::lock(&namespace, &key) {
            prop_assert_eq!(names::key_of_lock(&namespace, &name), Some(key.clone()));
            prop_assert_eq!(names::key_of_related(&namespace, &all, &format!("{{{name}}}:{end}")), Some(key));
            // A key that belongs to a lock is never another lock.
            if namespace.is_empty() {
                let other = Key::new(format!("{{{name}}}:{end}")).unwrap();
                prop_assert!(names::lock("", &other).is_err());
            }
        }
        let _ = names::pattern(&namespace, &end.repeat(2));
    }

    #[test]
    fn any_token_is_ours_or_another_projects(text: String, client: u64, session: u64, number: u64) {
        let _ = names::session_and_number(&text);
        let token = format!("{client:016x}.{session:016x}.{number}");
        prop_assert_eq!(names::session_and_number(&token), Some((session, number)));
    }

    #[test]
    fn a_time_in_milliseconds_is_never_shorter(nanos: u64) {
        let time = Duration::from_nanos(nanos);
        prop_assert!(Duration::from_millis(connect::milliseconds(time)) >= time);
        let _ = connect::milliseconds(Duration::MAX);
    }
}

/// A hold without its fence would be one that no resource can refuse.
#[test]
fn a_hold_whose_fence_cannot_be_read_is_refused() {
    for odd in ["", "x", "-1", "18446744073709551616", "1.0"] {
        let held = Value::Array(vec![Value::BulkString(b"held".to_vec()), Value::BulkString(odd.into())]);
        assert_eq!(reply::entry(&held).unwrap_err().kind(), ErrorKind::Unsupported, "{odd}");
    }
}

#[test]
fn a_lock_without_a_record_is_shown_as_it_is() {
    let holders = vec![reply::HolderReply { record: b"\xff".into(), ..reply::HolderReply::default() }];
    let odd = reply::LockReply { owner: Some(b"x".into()), holders, ..reply::LockReply::default() };
    assert!(!odd.holder("k").unwrap().is_known());
    assert!(!Holder::from_json(b"{\"v\":0}").is_known());
}
