//! How things are called in the store: keys, tokens, channels.
//!
//! The lock is a key of its own name, as redis-py, redsync and ShedLock have it. What we keep beside it is named
//! `{name}:…`, which a cluster would put into the same slot.

use crate::contract::{Entry, Scope};
use crate::values::error::Error;
use crate::values::key::Key;

/// What the script keeps beside the lock.
const BESIDE: [&str; 4] = ["}:fence", "}:holder", "}:queue", "}:waiters"];

/// The store's key for the lock.
pub(super) fn name(namespace: &str, key: &Key) -> Result<String, Error> {
    let name = format!("{namespace}{key}");
    if name.starts_with('{') && BESIDE.iter().any(|end| name.ends_with(end)) {
        return Err(Error::invalid_key(
            key.as_str(),
            "Redis keeps what belongs to other locks in keys of this form; choose another name",
        ));
    }
    Ok(name)
}

/// The lock beside which `key` stands, if it stands beside one in scope.
pub(super) fn lock_beside(namespace: &str, scope: &Scope, key: &str) -> Option<Key> {
    let inside = key.strip_prefix('{')?;
    let name = BESIDE.iter().find_map(|end| inside.strip_suffix(end))?;
    lock_of(namespace, name).filter(|key| scope.contains(key.as_str()))
}

/// The lock of this name.
pub(super) fn lock_of(namespace: &str, name: &str) -> Option<Key> {
    Key::new(name.strip_prefix(namespace)?).ok()
}

/// A pattern for all keys beside locks whose keys start with `prefix`.
pub(super) fn pattern(namespace: &str, prefix: &str) -> String {
    let mut pattern = "{".to_owned();
    for letter in namespace.chars().chain(prefix.chars()) {
        if matches!(letter, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push_str("*}:*");
    pattern
}

/// What channels of this namespace and database begin with; the database is in it because channels have none.
pub(super) fn channels(namespace: &str, database: i64) -> String {
    format!("{namespace}locks@{database}:")
}

/// Who an entry is: its client, its session, its number.
pub(super) fn token(client: u64, session: u64, entry: &Entry) -> String {
    format!("{client:016x}.{session:016x}.{}", entry.number)
}

/// The session and the number in a token.
pub(super) fn session_and_number(token: &str) -> Option<(u64, u64)> {
    let mut parts = token.split('.').skip(1);
    let session = u64::from_str_radix(parts.next()?, 16).ok()?;
    Some((session, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::error::ErrorKind;
    use crate::values::holder::Holder;
    use crate::values::options::Mode;

    #[test]
    fn a_lock_is_its_name_and_what_is_beside_it() {
        let key = Key::new("/a").unwrap();
        assert_eq!(name("app:", &key).unwrap(), "app:/a");
        let all = Scope::Prefix(String::new());
        for beside in ["{app:/a}:fence", "{app:/a}:holder", "{app:/a}:queue", "{app:/a}:waiters"] {
            assert_eq!(lock_beside("app:", &all, beside), Some(key.clone()));
            assert_eq!(lock_beside("other:", &all, beside), None);
            assert_eq!(lock_beside("app:", &Scope::Prefix("/b".into()), beside), None);
        }
        assert_eq!(lock_beside("app:", &all, "app:/a"), None);
    }

    #[test]
    fn no_lock_is_what_is_beside_another() {
        for beside in ["{x}:fence", "{x}:holder", "{}:queue", "{a{b}}:waiters"] {
            let refused = name("", &Key::new(beside).unwrap()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidKey, "{beside}");
            assert!(name("app:", &Key::new(beside).unwrap()).is_ok());
        }
        assert!(name("", &Key::new("{x}").unwrap()).is_ok());
    }

    #[test]
    fn a_prefix_is_no_pattern() {
        assert_eq!(pattern("", "a*[b]?\\"), "{a\\*\\[b\\]\\?\\\\*}:*");
    }

    #[test]
    fn a_token_tells_whose_it_is() {
        let entry =
            Entry { key: Key::new("/a").unwrap(), number: 7, holder: Holder::unknown().into(), mode: Mode::Exclusive };
        let token = token(1, 0xff, &entry);
        assert_eq!(token, "0000000000000001.00000000000000ff.7");
        assert_eq!(session_and_number(&token), Some((0xff, 7)));
        assert_eq!(session_and_number("64f1"), None);
    }
}
