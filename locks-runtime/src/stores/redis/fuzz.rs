//! What must hold for any reply of Redis: see `crate::fuzz`.

use super::config::Config;
use super::notification::{self, Notification};
use super::reply::{self, EntryReply};
use super::topology::View;
use super::{error, foreign, names};
use crate::contract::{Grant, Scope};
use crate::values::fuzz::assert_line;
use crate::values::key::Key;

/// A reply, as the server sends it, is understood or refused in few words; and only `held` with a fence is a hold.
pub(crate) fn redis_reply(bytes: &[u8]) {
    let value = match redis::parse_redis_value(bytes) {
        Ok(value) => value,
        // What the server refuses is parsed as an error.
        Err(refused) => {
            let _ = error::judge(&refused);
            return;
        }
    };
    let refused = [
        reply::entry(&value).err(),
        reply::lock(&value).err(),
        reply::renewed(&value).err(),
        reply::items(&value).err(),
        View::read(&value, &value, "host:1").err(),
    ];
    for error in refused.into_iter().flatten() {
        let said = error.to_string();
        assert_line(&said);
        assert!(said.len() < 1_000, "{said}");
    }
    match reply::entry(&value) {
        Ok(EntryReply::Held(grant)) => assert_held(&value, grant),
        Ok(EntryReply::Busy(found)) => {
            found.holder("k").into_iter().for_each(|holder| assert_line(&holder.to_string()))
        }
        _ => {}
    }
    if let Ok(found) = reply::lock(&value) {
        found.holder("k").into_iter().for_each(|holder| assert_line(&holder.to_string()));
        // Data of another program is never one.
        assert!(!found.is_lock() || found.owner.is_some() || !found.holders.is_empty());
        let [holders, waiters] = found.listed("k");
        holders.iter().chain(&waiters).for_each(|listed| assert_line(&listed.to_string()));
    }
    reply::failed(&value).into_iter().for_each(|said| drop(error::refused(&Config::local(), "host:1", &said)));
}

/// Each fence is in the reply, in its order, and nothing else.
pub(super) fn assert_held(value: &redis::Value, grant: Grant) {
    let text = |value: &redis::Value| std::str::from_utf8(reply::bytes(value)?).ok().map(str::to_owned);
    let number = |value: &redis::Value| match value {
        redis::Value::Int(number) => u64::try_from(*number).ok(),
        value => text(value)?.parse().ok(),
    };
    let fences = |value: &redis::Value| match reply::items(value).unwrap_or_default() {
        [word, fences @ ..] if text(word).as_deref() == Some("held") => fences.iter().map(number).collect(),
        _ => None,
    };
    let held = match reply::items(value).unwrap_or_default() {
        [word, states @ ..] if text(word).as_deref() == Some("several") => {
            // Of each lock the one fence, or of a reply about one lock alone all.
            let each: Option<Vec<Vec<u64>>> = states.iter().map(fences).collect();
            each.map(|each| if each.len() == 1 { each.concat() } else { each.iter().map(|all| all[0]).collect() })
        }
        _ => fences(value),
    };
    let granted: Vec<u64> = std::iter::once(grant.fence).chain(grant.others).collect();
    assert_eq!(held, Some(granted), "{value:?}");
}

/// A message, a token or a key of anybody is read or ignored; a key belongs to one lock or to none.
pub(crate) fn redis_message(bytes: &[u8]) {
    let read = Notification::read(bytes);
    assert!(read.is_none() || bytes.len() <= 256);
    assert!(notification::changed_lock(bytes).is_none_or(|name| name.len() < 4_096));
    let _ = foreign::is_token(bytes);
    assert!(names::hold(bytes).len() <= bytes.len());
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = (names::session_and_number(text), super::slots::slot(text), names::pattern("ns:", text));
    let all = Scope::Prefix(String::new());
    if let Some(lock) = names::key_of_related("", &all, text) {
        // It is no lock itself.
        assert!(Key::new(text).ok().is_none_or(|key| names::lock("", &key).is_err()), "{lock:?}");
    }
    if let Some(Ok(name)) = Key::new(text).ok().map(|key| names::lock("ns:", &key)) {
        assert_eq!(names::key_of_lock("ns:", &name).as_ref().map(Key::as_str), Some(text));
    }
}
