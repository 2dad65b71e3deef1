//! Whatever Redis answers, and whatever keys and messages of others there are: read, or refused, and never a panic.

use super::answer::{self, Answer};
use super::{names, tend, watch};
use crate::contract::Scope;
use crate::values::error::ErrorKind;
use crate::values::holder::Holder;
use crate::values::key::Key;
use proptest::prelude::*;
use redis::Value;
use std::time::Duration;

/// A word of the script's, or anything.
fn leaf() -> impl Strategy<Value = Value> {
    let words =
        vec!["held", "queued", "busy", "gone", "1", "0", "-1", "18446744073709551615", "18446744073709551616", ""];
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
    fn any_answer_is_understood_or_refused_in_few_words(value in value()) {
        let refused = [answer::standing(&value).err(), answer::found(&value).err(), answer::items(&value).err()];
        for error in refused.into_iter().flatten() {
            prop_assert_eq!(error.kind(), ErrorKind::Unsupported);
            prop_assert!(error.to_string().len() < 1000, "{error}");
        }
        if let Ok(Answer::Busy { record, left }) = answer::standing(&value) {
            let _ = answer::holder(record.as_deref(), "k", left).to_string();
        }
    }

    /// Nothing but the script's own word with a fence is ever a hold.
    #[test]
    fn only_held_with_a_fence_is_a_hold(value in value()) {
        if let Ok(Answer::Held(fence)) = answer::standing(&value) {
            let Value::Array(items) = &value else { panic!("{value:?}") };
            let words: Vec<&str> =
                items.iter().filter_map(answer::bytes).filter_map(|bytes| std::str::from_utf8(bytes).ok()).collect();
            prop_assert!(items.len() == 2 && words[0] == "held" && words[1].parse() == Ok(fence), "{value:?}");
        }
    }

    #[test]
    fn a_fence_of_any_size_is_read_back(fence: u64) {
        let held = Value::Array(vec![Value::BulkString(b"held".to_vec()), Value::BulkString(fence.to_string().into())]);
        prop_assert_eq!(answer::standing(&held).unwrap(), Answer::Held(fence));
    }

    #[test]
    fn any_message_is_read_or_passed_over(text: String, lines in prop::collection::vec("[+=-]?\\PC{0,5}", 0..6)) {
        let _ = watch::Event::read(&text);
        let event = watch::Event::read(&lines.join("\n"));
        prop_assert!(event.is_none() || lines.len() >= 3);
    }

    #[test]
    fn any_key_in_the_store_is_beside_one_lock_or_none(
        namespace in "[a-z{}:]{0,4}",
        key in "\\PC{1,12}|\\{?[a-z{}]{1,5}\\}?:?(fence|holder|queue|waiters)?",
        end in prop::sample::select(vec!["fence", "holder", "queue", "waiters"]),
    ) {
        let all = Scope::Prefix(String::new());
        let _ = names::lock_beside(&namespace, &all, &key);
        let key = Key::new(key).unwrap();
        if let Ok(name) = names::name(&namespace, &key) {
            prop_assert_eq!(names::lock_of(&namespace, &name), Some(key.clone()));
            prop_assert_eq!(names::lock_beside(&namespace, &all, &format!("{{{name}}}:{end}")), Some(key));
            // What is beside a lock is never another lock.
            if namespace.is_empty() {
                let beside = Key::new(format!("{{{name}}}:{end}")).unwrap();
                prop_assert!(names::name("", &beside).is_err());
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
        prop_assert!(Duration::from_millis(tend::milliseconds(time)) >= time);
        let _ = tend::milliseconds(Duration::MAX);
    }
}

/// A hold without its fence would be one that no resource can refuse.
#[test]
fn a_hold_whose_fence_cannot_be_read_is_refused() {
    for odd in ["", "x", "-1", "18446744073709551616", "1.0"] {
        let held = Value::Array(vec![Value::BulkString(b"held".to_vec()), Value::BulkString(odd.into())]);
        assert_eq!(answer::standing(&held).unwrap_err().kind(), ErrorKind::Unsupported, "{odd}");
    }
}

#[test]
fn a_lock_without_a_record_is_shown_as_it_is() {
    assert!(!answer::holder(Some(b"\xff"), "k", None).is_known());
    assert!(!Holder::from_json(b"{\"v\":0}").is_known());
}
