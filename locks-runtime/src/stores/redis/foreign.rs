//! What else may be in the place of a lock: the locks of other projects, and data that are no lock.
//!
//! Anything excludes us. But only what is known to be a lock is ever removed by force.

use crate::values::holder::Holder;
use std::time::Duration;

/// A key under a lock's name that no client of this project has set.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Foreign<'a> {
    /// Its type in Redis; `redisson` for a hash such as that project's locks are.
    pub(super) kind: &'a str,
    /// Its value, or a little more of it than any token has; empty if it is no string.
    pub(super) value: &'a [u8],
    /// When it expires; `None` if it never does.
    pub(super) expires_in: Option<Duration>,
}

impl Foreign<'_> {
    /// Whether it is known to be the lock of a project that shares ours: one that expires, with a value such as only
    /// locks have.
    pub(super) fn is_lock(&self) -> bool {
        self.expires_in.is_some()
            && match self.kind {
                "redisson" => true,
                "string" => is_token(self.value),
                _ => false,
            }
    }

    /// What can be said of the holder.
    pub(super) fn holder(&self, lock: &str) -> Holder {
        match (self.kind, self.expires_in) {
            ("string" | "", Some(_)) => Holder::from_json(b""),
            ("redisson", Some(_)) => Holder::unknown_because("a lock of Redisson's, which leaves no record"),
            ("string", None) => Holder::unknown_because(format!(
                "a string without an expiry, which is no lock of this project; look what it is, and only if it is a lock \
                 that nobody owns, {} frees it",
                delete(lock)
            )),
            (kind, _) => Holder::unknown_because(format!(
                "a key of type {}, which is no lock but another program's data; choose another key or namespace",
                if kind == "redisson" { "hash" } else { kind }
            )),
        }
    }
}

/// The command that deletes the key, for a shell.
fn delete(lock: &str) -> String {
    if lock.chars().any(char::is_control) {
        return "deleting the key".to_owned();
    }
    format!("`redis-cli del '{}'`", lock.replace('\'', r"'\''"))
}

/// Whether a value is a token as locks have them: ours, ShedLock's, one of redis-py's or of a `Redlock`.
pub(super) fn is_token(value: &[u8]) -> bool {
    // As many bytes of chance as Redlock asks for, which are hardly ever text.
    let is_chance = value.len() == 20 && std::str::from_utf8(value).is_err();
    is_chance || std::str::from_utf8(value).is_ok_and(|text| is_ours(text) || is_shed_lock(text) || is_random(text))
}

/// Client, session, number and what it wants: see `names::token`. With `+`, that of one of several holders.
fn is_ours(text: &str) -> bool {
    let text = text.strip_suffix('+').unwrap_or(text);
    let text = text.strip_suffix(".kept").unwrap_or(text);
    let parts: Vec<&str> = text.split('.').collect();
    let (client, session, number, wants) = match parts.as_slice() {
        [client, session, number] => (client, session, number, ""),
        [client, session, number, wants] => (client, session, number, *wants),
        _ => return false,
    };
    let is_id = |id: &str| id.len() == 16 && is_hex(id);
    let mode = wants.strip_suffix('m').unwrap_or(wants);
    let is_mode = matches!(mode, "" | "s") || mode.strip_prefix('p').is_some_and(|limit| limit.parse::<u32>().is_ok());
    is_id(client) && is_id(session) && number.parse::<u64>().is_ok() && is_mode
}

/// `ADDED:2026-01-31T12:00:00.123Z@host`
fn is_shed_lock(text: &str) -> bool {
    text.len() <= 512 && text.strip_prefix("ADDED:").is_some_and(|rest| rest.contains('@'))
}

/// 16 or 20 bytes of chance in hexadecimal, a UUID, or 16 bytes in base 64: redis-py's, redlock's, redsync's, redislock's.
fn is_random(text: &str) -> bool {
    let is_uuid = || {
        let lengths: Vec<usize> = text.split('-').map(str::len).collect();
        lengths == [8, 4, 4, 4, 12] && text.split('-').all(is_hex)
    };
    let is_base64 = || {
        let bare = text.trim_end_matches('=');
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
        bare.len() == 22 && matches!(text.len(), 22 | 24) && bare.bytes().all(is_letter)
    };
    (matches!(text.len(), 32 | 40) && is_hex(text)) || is_uuid() || is_base64()
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Option<Duration> = Some(Duration::from_secs(1));

    #[test]
    fn tokens_of_locks_are_told_from_data() {
        let chance: [u8; 20] = std::array::from_fn(|byte| 250 - u8::try_from(byte).unwrap());
        let locks: [&[u8]; 12] = [
            b"0123456789abcdef.0123456789abcdef.7",
            b"0123456789abcdef.0123456789abcdef.7.s+",
            b"0123456789abcdef.0123456789abcdef.7.p3.kept+",
            b"0123456789abcdef.0123456789abcdef.7.m",
            b"0123456789abcdef.0123456789abcdef.7.kept",
            b"ADDED:2026-01-31T12:00:00.123Z@host",
            b"64f1c0de64f1c0de64f1c0de64f1c0de",
            b"64f1c0de64f1c0de64f1c0de64f1c0de64f1c0de",
            b"123e4567-e89b-12d3-a456-426614174000",
            b"q83vEjRWeJCrze8SNFZ4kA==",
            b"q83vEjRWeJCrze8SNFZ4kA",
            &chance,
        ];
        for value in locks {
            assert!(Foreign { kind: "string", value, expires_in: SOON }.is_lock(), "{value:?}");
            assert!(!Foreign { kind: "string", value, expires_in: None }.is_lock(), "{value:?}");
        }
        let long = vec![b'a'; 513];
        let data: [&[u8]; 9] = [
            b"0123456789abcdef.0123456789abcdef.7.x",
            b"",
            b"1",
            b"stuck",
            b"{\"user\":7}",
            b"a sentence of twenty",
            b"0123456789abcdef..7",
            b"ADDED:x",
            &long,
        ];
        for value in data {
            assert!(!Foreign { kind: "string", value, expires_in: SOON }.is_lock(), "{value:?}");
        }
        for (kind, is_lock) in [("redisson", true), ("hash", false), ("set", false), ("none", false), ("", false)] {
            assert_eq!(Foreign { kind, value: b"", expires_in: SOON }.is_lock(), is_lock, "{kind}");
        }
    }

    #[test]
    fn advice_deletes_no_data_and_nothing_else_in_a_shell() {
        let holder = |kind, expires_in, lock| Foreign { kind, value: b"x", expires_in }.holder(lock).to_string();
        assert!(holder("string", None, "k").contains("`redis-cli del 'k'`"));
        assert!(holder("string", None, "it's").contains(r"`redis-cli del 'it'\''s'`"));
        assert!(!holder("string", None, "a\nb").contains("redis-cli"));
        assert!(!holder("string", SOON, "k").contains("redis-cli"));
        for kind in ["hash", "set", "redisson", "stream"] {
            assert!(!holder(kind, None, "k").contains("redis-cli"), "{kind}");
        }
    }
}
