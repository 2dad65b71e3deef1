//! What is shown of what must not be seen, or was written by others.

#![expect(missing_docs, reason = "the name of a scenario is what it shows")]

use std::time::Duration;

use distributed_locks::{ErrorKind, Locks};

use super::{acquire_and_release, connect};
use crate::in_time;

/// A client that has logged in by this URL, and one that could not: neither shows a password in any form.
pub async fn no_password_is_shown(right: &str, wrong: &str, passwords: &[&str]) {
    let mut shown = Vec::new();
    for url in [right, wrong] {
        let locks = connect(url);
        let guard = in_time(locks.lock("/shown/k").acquire()).await;
        if let Err(error) = &guard {
            assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error:?}");
            shown.push(error.to_string());
        }
        let waiting = in_time(locks.lock("/shown/k").wait(Duration::ZERO).acquire()).await;
        // The description of a lock has the whole client in it, with its sessions.
        shown.push(format!("{guard:?} {waiting:?} {locks:?} {:?}", locks.lock("/shown/k")));
    }
    for shown in shown {
        assert!(!passwords.iter().any(|password| shown.contains(password)), "{shown}");
    }
}

/// What another client could write into its record to harm whoever looks.
pub const HOSTILE: &str = "\u{1b}[2J\u{202e}root\r\nERROR forged\u{200b}";

/// A record of [`HOSTILE`] texts, which is read.
pub fn hostile_record() -> String {
    serde_json::json!({"v": 1, "name": HOSTILE, "host": HOSTILE, "origin": HOSTILE, "labels": {HOSTILE: HOSTILE}})
        .to_string()
}

/// A record of another client is in the lock's place.
pub async fn a_hostile_record_is_shown_in_one_short_line(locks: &Locks, key: &str) {
    let busy = in_time(locks.lock(key).wait(Duration::ZERO).acquire()).await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy);
    let line = in_time(locks.inspect(key)).await.unwrap().unwrap();
    let holder = busy.holder().unwrap();
    let shown = format!("{busy} {busy:?} {line:?} {holder} {holder:?}");
    let is_hidden = |letter: char| letter.is_control() || ('\u{200b}'..='\u{206f}').contains(&letter);
    assert!(!shown.contains(is_hidden) && shown.len() < 20_000, "{shown:?}");
    assert!(!holder.is_known() || shown.contains("\\u{1b}[2J\\u{202e}root\\r\\nERROR forged"), "{shown}");
}

/// The keys of the first URL begin with what the second one's role may touch, and both are one namespace.
pub async fn a_namespace_may_begin_with_a_slash(urls: &[String], key: &str) {
    for url in urls {
        acquire_and_release(&connect(url), key).await;
        let guard = connect(url).lock(key).acquire().await.unwrap();
        for other in urls {
            assert!(connect(other).lock(key).try_acquire().await.unwrap().is_none(), "{url} and {other}");
        }
        guard.release().await.unwrap();
    }
}
