//! How entries are named: `<namespace><key>/<lease in hex>-<number>`.
//!
//! Everything directly under `<key>/` is an entry, whoever put it there; a key with one more `/` belongs to another
//! lock, whose own key starts like ours (`a` and `a/b`). Go's clients do not make that difference.

use crate::contract::Entry;
use crate::values::key::Key;

/// The part of the store's keys that belongs to one lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    prefix: String,
}

impl Name {
    pub(super) fn new(namespace: &str, key: &Key) -> Self {
        Self { prefix: format!("{namespace}{key}/") }
    }

    /// The first key of the range that holds all entries.
    pub(super) fn start(&self) -> &str {
        &self.prefix
    }

    /// The first key behind that range: `0` follows `/`.
    pub(super) fn end(&self) -> String {
        let mut end = self.prefix.clone();
        end.pop();
        end.push('0');
        end
    }

    /// What this code calls its entries. Other clients use the lease alone, and nobody reads it.
    pub(super) fn entry(&self, lease: i64, entry: &Entry) -> String {
        format!("{}{lease:x}-{}", self.prefix, entry.number)
    }

    /// Whether `key` stands in this lock's line.
    pub(super) fn holds(&self, key: &[u8]) -> bool {
        key.strip_prefix(self.prefix.as_bytes()).is_some_and(|suffix| !suffix.contains(&b'/'))
    }
}

/// The number of an entry of the session with this lease, if `key` is one.
pub(super) fn number_of(key: &[u8], lease: i64) -> Option<u64> {
    let suffix = key.rsplit(|&byte| byte == b'/').next()?;
    let number = std::str::from_utf8(suffix).ok()?.strip_prefix(&format!("{lease:x}-"))?;
    number.parse().ok()
}

/// The lock under whose name `key` stands: all up to the last `/`, without the namespace.
pub(super) fn lock_of(key: &[u8], namespace: &str) -> Option<Key> {
    let rest = std::str::from_utf8(key).ok()?.strip_prefix(namespace)?;
    Key::new(rest.rsplit_once('/')?.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::holder::Holder;
    use crate::values::options::Mode;

    fn name() -> Name {
        Name::new("ns/", &Key::new("/a").unwrap())
    }

    #[test]
    fn an_entry_is_named_by_its_lease_and_number_and_read_back() {
        let entry =
            Entry { key: Key::new("/a").unwrap(), number: 7, holder: Holder::unknown().into(), mode: Mode::Exclusive };
        let key = name().entry(0x2a, &entry);
        assert_eq!(key, "ns//a/2a-7");
        assert!(name().holds(key.as_bytes()));
        assert_eq!(number_of(key.as_bytes(), 0x2a), Some(7));
        assert_eq!(number_of(key.as_bytes(), 0x2), None);
        assert_eq!(lock_of(key.as_bytes(), "ns/"), Some(entry.key));
    }

    #[test]
    fn another_locks_keys_are_not_in_line() {
        assert!(!name().holds(b"ns//a/b/2a-7"));
        assert!(!name().holds(b"ns//ab/2a-7"));
        assert!(name().holds(b"ns//a/"));
        assert_eq!(name().end(), "ns//a0");
    }

    #[test]
    fn a_key_that_is_under_no_lock_has_none() {
        assert_eq!(lock_of(b"plain", ""), None);
        assert_eq!(lock_of(b"/top", ""), None);
        assert_eq!(lock_of(b"\xff/x", ""), None);
        assert_eq!(lock_of(b"other/x/1", "ns/"), None);
    }
}
