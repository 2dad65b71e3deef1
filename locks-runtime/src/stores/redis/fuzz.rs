//! What must hold for any reply of Redis: see `crate::fuzz`.

use super::config::Config;
use super::notification::{self, Notification};
use super::reply::{self, EntryReply};
use super::{cluster, error, foreign, names};
use crate::contract::Scope;
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
        cluster::check(&Config::local(), &value).err(),
    ];
    for error in refused.into_iter().flatten() {
        let said = error.to_string();
        assert_line(&said);
        assert!(said.len() < 1_000, "{said}");
    }
    match reply::entry(&value) {
        Ok(EntryReply::Held(fence)) => {
            let items = reply::items(&value).unwrap_or_default();
            assert!(items.len() == 2 && reply::bytes(&items[0]) == Some(b"held".as_slice()), "{value:?}");
            let text = items.last().and_then(reply::bytes).and_then(|text| std::str::from_utf8(text).ok());
            let number = match items.last() {
                Some(redis::Value::Int(number)) => u64::try_from(*number).ok(),
                _ => text.and_then(|text| text.parse().ok()),
            };
            assert_eq!(number, Some(fence));
        }
        Ok(EntryReply::Busy(found)) => {
            found.holder("k").into_iter().for_each(|holder| assert_line(&holder.to_string()))
        }
        _ => {}
    }
    if let Ok(found) = reply::lock(&value) {
        found.holder("k").into_iter().for_each(|holder| assert_line(&holder.to_string()));
        // Data of another program is never one.
        assert!(!found.is_lock() || found.owner.is_some() || found.record.is_some());
    }
    reply::failed(&value).into_iter().for_each(|said| drop(error::refused(&Config::local(), &said)));
}

/// A message, a token or a key of anybody is read or ignored; a key belongs to one lock or to none.
pub(crate) fn redis_message(bytes: &[u8]) {
    let read = Notification::read(bytes);
    assert!(read.is_none() || bytes.len() <= 256);
    assert!(notification::changed_lock(bytes).is_none_or(|name| name.len() < 4_096));
    let _ = foreign::is_token(bytes);
    assert!(names::hold(bytes).len() <= bytes.len());
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = (names::session_and_number(text), names::slot(text), names::pattern("ns:", text));
    let all = Scope::Prefix(String::new());
    if let Some(lock) = names::key_of_related("", &all, text) {
        // It is no lock itself.
        assert!(Key::new(text).ok().is_none_or(|key| names::lock("", &key).is_err()), "{lock:?}");
    }
    if let Some(Ok(name)) = Key::new(text).ok().map(|key| names::lock("ns:", &key)) {
        assert_eq!(names::key_of_lock("ns:", &name).as_ref().map(Key::as_str), Some(text));
    }
}
