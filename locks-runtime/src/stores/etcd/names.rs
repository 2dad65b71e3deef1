//! How entries are named: `<namespace><key>/<lease in hex>-<number>`, that of a reader `<key>/s<lease>-<number>`, and that of a
//! permit `<key>/p<limit>-<lease>-<number>`. So a list of names shows who may hold the lock beside whom. That of a candidate in an
//! election is `<key>/l<lease>-<number>`, and has no record, but the candidate's value, as those of Go's elections have.
//!
//! Every key directly under `<key>/` is an entry, whichever client created it; a key with one more `/` belongs to another
//! lock, whose own key starts like this one (`a` and `a/b`). Go's clients do not make that difference.

use crate::contract::Entry;
use crate::values::key::Key;
use crate::values::mode::Mode;

/// The range of etcd's keys in which one lock's queue is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QueueRange {
    prefix: String,
}

impl QueueRange {
    pub(super) fn new(namespace: &str, key: &Key) -> Self {
        Self { prefix: format!("{namespace}{key}/") }
    }

    /// The first key of the range.
    pub(super) fn start(&self) -> &str {
        &self.prefix
    }

    /// The first key after the range: `0` follows `/`.
    pub(super) fn end(&self) -> String {
        let mut end = self.prefix.clone();
        end.pop();
        end.push('0');
        end
    }

    /// The ranges in which everything is that an entry of this mode may have to wait for. A reader's leave out the readers,
    /// however many there are: other clients' names begin with a hexadecimal digit.
    pub(super) fn in_the_way_of(&self, mode: Mode) -> Vec<(String, String)> {
        let (start, end) = (self.prefix.clone(), self.end());
        match mode {
            Mode::Shared => vec![(start.clone(), format!("{start}s")), (format!("{start}t"), end)],
            _ => vec![(start, end)],
        }
    }

    /// The name of an entry of this crate. Other clients use the lease alone; nothing reads the name but this crate.
    pub(super) fn entry(&self, lease: i64, entry: &Entry) -> String {
        let (prefix, number) = (&self.prefix, entry.number);
        match entry.mode {
            Mode::Exclusive if entry.holder.value.is_some() => format!("{prefix}l{lease:x}-{number}"),
            Mode::Exclusive => format!("{prefix}{lease:x}-{number}"),
            Mode::Shared => format!("{prefix}s{lease:x}-{number}"),
            Mode::Permits(limit) => format!("{prefix}p{limit}-{lease:x}-{number}"),
        }
    }

    /// Whether `key` is an entry of this lock. The range also has the keys of nested locks.
    pub(super) fn contains(&self, key: &[u8]) -> bool {
        key.strip_prefix(self.prefix.as_bytes()).is_some_and(|suffix| !suffix.contains(&b'/'))
    }
}

/// The number of the entry that `key` names, if it is one of the session with this lease.
pub(super) fn entry_number(key: &[u8], lease: i64) -> Option<u64> {
    let (_, name) = read(key)?;
    name.strip_prefix(&format!("{lease:x}-"))?.parse().ok()
}

/// Whether `key` is named as an exclusive entry of this crate, of whatever session, and its name is all that it is.
pub(super) fn is_entry(key: &[u8]) -> bool {
    let parts = std::str::from_utf8(key).ok().and_then(|name| name.split_once('-'));
    parts.is_some_and(|(lease, number)| i64::from_str_radix(lease, 16).is_ok() && number.parse::<u64>().is_ok())
}

/// Who may hold the lock beside the entry that `key` names: nobody, if it is another client's.
pub(super) fn mode_of(key: &[u8]) -> Mode {
    read(key).map_or(Mode::Exclusive, |(mode, _)| mode)
}

/// The mode, and the rest of the name.
fn read(key: &[u8]) -> Option<(Mode, &str)> {
    let name = std::str::from_utf8(key.rsplit(|&byte| byte == b'/').next()?).ok()?;
    if let Some(rest) = name.strip_prefix('s') {
        return Some((Mode::Shared, rest));
    }
    if let Some(rest) = name.strip_prefix('l') {
        return Some((Mode::Exclusive, rest));
    }
    match name.strip_prefix('p').and_then(|rest| rest.split_once('-')) {
        Some((limit, rest)) => Some((Mode::Permits(limit.parse().ok()?), rest)),
        None => Some((Mode::Exclusive, name)),
    }
}

/// What is stored with an entry: its record, or of a candidate its value alone.
pub(super) fn content(entry: &Entry) -> Vec<u8> {
    match &entry.holder.value {
        Some(value) => value.clone().into_bytes(),
        None => entry.holder.to_json(),
    }
}

/// Whether `key` is that of a candidate of this crate.
pub(super) fn is_candidate(key: &[u8]) -> bool {
    let name = key.rsplit(|&byte| byte == b'/').next().and_then(|name| std::str::from_utf8(name).ok());
    let parts = name.and_then(|name| name.strip_prefix('l')?.split_once('-'));
    parts.is_some_and(|(lease, number)| i64::from_str_radix(lease, 16).is_ok() && number.parse::<u64>().is_ok())
}

/// Whether `key` is named as Go's clients name theirs: by the lease that it has, in hexadecimal digits, and by nothing else.
pub(super) fn is_gos(key: &[u8], lease: i64) -> bool {
    lease != 0 && key.rsplit(|&byte| byte == b'/').next() == Some(format!("{lease:x}").as_bytes())
}

/// The lock to which `key` belongs: everything up to the last `/`, without the namespace.
pub(super) fn lock_of(key: &[u8], namespace: &str) -> Option<Key> {
    let rest = std::str::from_utf8(key).ok()?.strip_prefix(namespace)?;
    Key::new(rest.rsplit_once('/')?.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::holder::Holder;

    fn range() -> QueueRange {
        QueueRange::new("ns/", &Key::new("/a").unwrap())
    }

    #[test]
    fn an_entry_is_named_by_its_lease_and_number_and_read_back() {
        let entry = Entry::new(Key::new("/a").unwrap(), 7, Holder::unknown().into());
        let key = range().entry(0x2a, &entry);
        assert_eq!(key, "ns//a/2a-7");
        assert!(range().contains(key.as_bytes()));
        assert_eq!(entry_number(key.as_bytes(), 0x2a), Some(7));
        assert_eq!(entry_number(key.as_bytes(), 0x2), None);
        assert_eq!(lock_of(key.as_bytes(), "ns/"), Some(entry.key));
    }

    #[test]
    fn a_name_shows_who_may_hold_the_lock_too() {
        for mode in [Mode::Exclusive, Mode::Shared, Mode::Permits(12)] {
            let entry = Entry { mode, ..Entry::new(Key::new("/a").unwrap(), 7, Holder::unknown().into()) };
            let key = range().entry(0x5a, &entry);
            assert_eq!((mode_of(key.as_bytes()), entry_number(key.as_bytes(), 0x5a)), (mode, Some(7)), "{key}");
            let ranges = range().in_the_way_of(Mode::Shared);
            let is_in_the_way = ranges.iter().any(|(start, end)| *start <= key && key < *end);
            assert_eq!(is_in_the_way, mode != Mode::Shared, "{key}");
        }
        for foreign in ["ns//a/2a", "ns//a/px-1", "ns//a/p-", "ns//a/", "ns//a/\u{e9}"] {
            assert_eq!(mode_of(foreign.as_bytes()), Mode::Exclusive, "{foreign}");
        }
        assert_eq!(mode_of(b"ns//a/\xff"), Mode::Exclusive);
    }

    #[test]
    fn a_candidates_name_is_an_entrys_and_no_other_is_taken_for_one() {
        let holder = Holder { value: Some("10.0.0.7".to_owned()), ..Holder::unknown() };
        let entry = Entry::new(Key::new("/a").unwrap(), 7, holder.into());
        let key = range().entry(0x2a, &entry);
        assert_eq!((key.as_str(), content(&entry)), ("ns//a/l2a-7", b"10.0.0.7".to_vec()));
        assert!(is_candidate(key.as_bytes()) && !is_gos(key.as_bytes(), 0x2a));
        assert_eq!((mode_of(key.as_bytes()), entry_number(key.as_bytes(), 0x2a)), (Mode::Exclusive, Some(7)));
        assert!(is_gos(b"ns//a/2a", 0x2a) && !is_gos(b"ns//a/2b", 0x2a) && !is_gos(b"ns//a/0", 0));
        for other in ["ns//a/2a-7", "services/login", "services/l-1", "services/l2a", "services/l2a-x"] {
            assert!(!is_candidate(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn another_locks_keys_are_not_in_the_queue() {
        assert!(!range().contains(b"ns//a/b/2a-7"));
        assert!(!range().contains(b"ns//ab/2a-7"));
        assert!(range().contains(b"ns//a/"));
        assert_eq!(range().end(), "ns//a0");
    }

    #[test]
    fn a_key_that_is_under_no_lock_has_none() {
        assert_eq!(lock_of(b"plain", ""), None);
        assert_eq!(lock_of(b"/top", ""), None);
        assert_eq!(lock_of(b"\xff/x", ""), None);
        assert_eq!(lock_of(b"other/x/1", "ns/"), None);
    }
}
