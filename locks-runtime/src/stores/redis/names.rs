//! The names of what is in the store: keys, tokens, channels.
//!
//! The lock is a key of its own name, as redis-py, redsync and ShedLock have it. The other keys that belong to it are named
//! `{name}:…`, which a cluster puts into the same slot: but not where the name has a `}`. There the [prefix](slots::prefix) of
//! the slot comes before that.

use super::slots;
use crate::contract::{Entry, Scope};
use crate::values::error::Error;
use crate::values::key::Key;
use crate::values::mode::Mode;

/// How the names of the keys end that belong to a lock.
const ENDINGS: [&str; 6] = ["}:fence", "}:holder", "}:holders", "}:queue", "}:waiters", "}:watch"];

/// How the name of the key ends that says that what is done once is done. It stays when the lock is free, and is no part of it.
const DONE: &str = "}:done";

/// The name of the lock: its key in the store.
pub(super) fn lock(namespace: &str, key: &Key) -> Result<String, Error> {
    let name = format!("{namespace}{key}");
    let is_related = name.starts_with('{') || key.as_str().starts_with(slots::ONE_SLOT);
    if is_related && ENDINGS.iter().chain([&DONE]).any(|ending| name.ends_with(ending)) {
        return Err(Error::invalid_key(
            key.as_str(),
            "Redis keeps what belongs to other locks in keys of this form; choose another name",
        ));
    }
    Ok(name)
}

/// The lock with this name.
pub(super) fn key_of_lock(namespace: &str, name: &str) -> Option<Key> {
    Key::new(name.strip_prefix(namespace)?).ok()
}

/// The lock to which the store's key `name` belongs, if it is one in scope.
pub(super) fn key_of_related(namespace: &str, scope: &Scope, name: &str) -> Option<Key> {
    // In a cluster what belongs to a lock with a brace in its name.
    let name = slots::without_prefix(namespace, name).filter(|rest| rest.starts_with('{')).unwrap_or(name);
    let inside = name.strip_prefix('{')?;
    let lock = ENDINGS.iter().find_map(|ending| inside.strip_suffix(ending))?;
    key_of_lock(namespace, lock).filter(|key| scope.contains(key.as_str()))
}

/// A pattern for the keys of all locks whose keys start with `prefix`.
pub(super) fn pattern_of_locks(namespace: &str, prefix: &str) -> String {
    format!("{}{}*", escaped(namespace), escaped(prefix))
}

/// A pattern for all keys that belong to locks whose keys start with `prefix`.
pub(super) fn pattern(namespace: &str, prefix: &str) -> String {
    format!("{{{}{}*}}:*", escaped(namespace), escaped(prefix))
}

/// The same in a cluster, where a name with a `}` has a prefix before that.
pub(super) fn pattern_in_cluster(namespace: &str, prefix: &str) -> String {
    match slots::prefix_of_one_slot(namespace) {
        Some(own) => format!("{}{}", escaped(&own), pattern(namespace, prefix)),
        None => format!("{{{}*}}:*", escaped(namespace)),
    }
}

/// The text as it is, in a pattern of Redis'.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '\\' | '^') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// The prefix of all channels of this namespace and database; the database is in it because channels have none.
pub(super) fn channel_prefix(namespace: &str, database: i64) -> String {
    format!("{namespace}locks@{database}:")
}

/// The channel on which the changes of all locks are published.
pub(super) fn changes_channel(channel_prefix: &str) -> String {
    format!("{channel_prefix}changes")
}

/// The channel on which a client is notified of its own entries.
pub(super) fn client_channel(channel_prefix: &str, client: u64) -> String {
    format!("{channel_prefix}{client:016x}")
}

/// The token of an entry: its client, its session, its number, and what the script has to know of it.
pub(super) fn token(client: u64, session: u64, entry: &Entry) -> String {
    let several = if entry.others.is_empty() { "" } else { "m" };
    let wants = match entry.mode {
        Mode::Exclusive if several.is_empty() => String::new(),
        Mode::Exclusive => format!(".{several}"),
        Mode::Shared => format!(".s{several}"),
        Mode::Permits(limit) => format!(".p{limit}{several}"),
    };
    format!("{client:016x}.{session:016x}.{}{wants}", entry.number)
}

/// The token of a hold that was handed over, in the form of an entry's: `None` if the secret is none.
pub(super) fn ticket(secret: &str) -> Option<String> {
    let is_one = secret.len() == 32 && secret.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_one.then(|| format!("{}.{}.0", &secret[..16], &secret[16..]))
}

/// The session and the number in a token.
pub(super) fn session_and_number(token: &str) -> Option<(u64, u64)> {
    let mut parts = token.split('.').skip(1);
    let session = u64::from_str_radix(parts.next()?, 16).ok()?;
    Some((session, parts.next()?.parse().ok()?))
}

/// A holder's token without the mark of an entry that left and was extended: it is still the same hold.
pub(super) fn hold(value: &[u8]) -> &[u8] {
    value.strip_suffix(b".kept").unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::error::ErrorKind;
    use crate::values::holder::Holder;

    #[test]
    fn a_lock_is_a_key_of_its_name_and_others_belong_to_it() {
        let key = Key::new("/a").unwrap();
        assert_eq!(lock("app:", &key).unwrap(), "app:/a");
        let all = Scope::Prefix(String::new());
        for ending in ["fence", "holder", "holders", "queue", "waiters"] {
            let name = &format!("{{app:/a}}:{ending}");
            assert_eq!(key_of_related("app:", &all, name), Some(key.clone()));
            assert_eq!(key_of_related("other:", &all, name), None);
            assert_eq!(key_of_related("app:", &Scope::Prefix("/b".into()), name), None);
        }
        assert_eq!(key_of_related("app:", &all, "app:/a"), None);
    }

    #[test]
    fn a_key_that_would_belong_to_another_lock_is_refused() {
        for name in ["{x}:fence", "{x}:done", "{x}:holder", "{}:queue", "{a{b}}:waiters"] {
            let refused = lock("", &Key::new(name).unwrap()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidKey, "{name}");
            assert!(lock("app:", &Key::new(name).unwrap()).is_ok());
        }
        assert!(lock("", &Key::new("{x}").unwrap()).is_ok());
    }

    #[test]
    fn a_prefix_is_no_pattern() {
        assert_eq!(pattern("", "a*[b]?\\"), "{a\\*\\[b\\]\\?\\\\*}:*");
    }

    #[test]
    fn channels_have_the_names_that_earlier_versions_have() {
        let prefix = channel_prefix("app:", 3);
        assert_eq!(prefix, "app:locks@3:");
        assert_eq!(changes_channel(&prefix), "app:locks@3:changes");
        assert_eq!(client_channel(&prefix, 0xff), "app:locks@3:00000000000000ff");
    }

    #[test]
    fn a_token_names_its_session_and_its_entry_and_what_it_wants() {
        let entry = |mode, others: &[&str]| {
            let others = others.iter().map(|other| Key::new(*other).unwrap()).collect();
            Entry { mode, others, ..Entry::new(Key::new("/a").unwrap(), 7, Holder::unknown().into()) }
        };
        for (mode, others, wants) in [
            (Mode::Exclusive, &[][..], ""),
            (Mode::Shared, &[], ".s"),
            (Mode::Permits(3), &[], ".p3"),
            (Mode::Exclusive, &["/b"], ".m"),
            (Mode::Shared, &["/b"], ".sm"),
            (Mode::Permits(30), &["/b", "/c"], ".p30m"),
        ] {
            let token = token(1, 0xff, &entry(mode, others));
            assert_eq!(token, format!("0000000000000001.00000000000000ff.7{wants}"));
            assert_eq!(session_and_number(&token), Some((0xff, 7)));
        }
        assert_eq!(session_and_number("64f1"), None);
    }

    #[test]
    fn a_tickets_token_is_in_the_form_of_an_entrys() {
        let token = ticket("00000000000000010000000000000ff0").unwrap();
        assert_eq!(
            (token.as_str(), session_and_number(&token)),
            ("0000000000000001.0000000000000ff0.0", Some((0xff0, 0)))
        );
        for odd in ["", "x", "0000000000000001.000000000000000", "000000000000000100000000000000é"] {
            assert_eq!(ticket(odd), None, "{odd}");
        }
    }

    #[test]
    fn an_extended_hold_whose_entry_left_is_the_same_hold() {
        assert_eq!(hold(b"a.b.1.kept"), hold(b"a.b.1"));
        assert_ne!(hold(b"a.b.1.kept"), hold(b"a.b.2"));
    }
}
